// SPDX-License-Identifier: Apache-2.0
#include "core/archive/scan.h"

#include <algorithm>
#include <set>

namespace tenpak::archive {
namespace {

constexpr std::size_t kMaxFolders = 200'000;

bool is_shard(const std::string& name) { return name.find("-of-") != std::string::npos; }

class Scanner {
   public:
    explicit Scanner(const JobContext& ctx) : ctx_(ctx) {}

    /// Returns whether a model was found in there.
    Result<bool> folder(const fs::path& path, const fs::path& root) {
        TENPAK_RETURN_IF_ERROR(ctx_.check());
        if (!seen_.insert(path).second) return false;
        if (seen_.size() > kMaxFolders) return make_error(ErrorCode::kUnsupported, "more than 200,000 folders", root.string(), "Name the folders that hold models");
        std::vector<std::string> weights;
        std::vector<fs::path> inner;
        bool whole = false;
        std::error_code ec;
        for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
            const std::string name = it->path().filename().string();
            std::error_code type_ec;
            const fs::file_status link = it->symlink_status(type_ec), target = it->status(type_ec);
            if (name.starts_with('.')) continue;
            if (it->path().extension() == ".tnpk") {
                scan.artifacts.push_back(it->path());
            } else if (fs::is_directory(target)) {
                if (!fs::is_symlink(link)) inner.push_back(it->path());
            } else if (name.ends_with(".safetensors")) {
                weights.push_back(name);
                whole |= name == "model.safetensors";
            } else {
                whole |= name == "config.json" || name == "adapter_config.json" || name.ends_with(".safetensors.index.json");
            }
        }
        if (ec) {
            if (path == root) return errno_error("cannot read the folder", path.string(), ec.value());
            return false;  // a folder that is closed to us holds nothing that we may touch
        }
        std::sort(weights.begin(), weights.end());
        std::sort(inner.begin(), inner.end());
        bool inside = false;
        for (const fs::path& p : inner) {
            TENPAK_ASSIGN(const bool found, folder(p, root));
            inside |= found;
        }
        if (weights.empty()) return inside;
        if (whole || std::all_of(weights.begin(), weights.end(), is_shard)) {
            scan.models.push_back({path, root, inside});
        } else {
            for (const std::string& w : weights) scan.models.push_back({path / w, root, false});
        }
        return true;
    }
    Scan scan;

   private:
    const JobContext& ctx_;
    std::set<fs::path> seen_;
};

}  // namespace

Result<Scan> scan(const std::vector<fs::path>& folders, const JobContext& ctx) {
    Scanner s(ctx);
    std::set<fs::path> files;
    for (const fs::path& f : folders) {
        std::error_code ec;
        if (fs::is_directory(f, ec)) {
            TENPAK_ASSIGN([[maybe_unused]] const bool found, s.folder(f, f));
        } else {
            files.insert(f);
        }
    }
    for (const fs::path& f : files)
        if (std::none_of(s.scan.models.begin(), s.scan.models.end(), [&](const Candidate& c) { return c.path == f || c.path == f.parent_path(); })) s.scan.models.push_back({f, f, false});
    std::sort(s.scan.models.begin(), s.scan.models.end(), [](const Candidate& a, const Candidate& b) { return a.path < b.path; });
    return std::move(s.scan);
}

}  // namespace tenpak::archive
