// SPDX-License-Identifier: Apache-2.0
// tenpak delta find-base: which of the models under some folders a fine-tune is made from.
#include <algorithm>
#include <cstdio>
#include <set>

#include "app/cli/find_base.h"
#include "core/delta/choose_base.h"
#include "core/tensor/model_source.h"

namespace tenpak::cli {

namespace {

namespace fs = std::filesystem;

struct Options {
    std::string fine_tune;
    std::vector<std::string> folders;
    unsigned threads = 0;
};

struct Skipped {
    std::string path, why;
};

/// Folders below a folder are entered this deep (a hub cache has models--org--name/snapshots/commit).
constexpr int kMostDepth = 6;

/// Models below the given folders: folders with .safetensors in them; where such a folder is no model, each of its files.
class Scan {
   public:
    Scan(const JobContext& job, const fs::path& fine_tune) : job_(job) {
        std::error_code ec;
        fine_tune_ = fs::weakly_canonical(fine_tune, ec);
    }

    Status folder(const fs::path& path, int depth = 0) {
        TENPAK_RETURN_IF_ERROR(job_.check());
        std::error_code ec;
        const fs::path real = fs::weakly_canonical(path, ec);
        if (!seen_.insert(real).second) return {};
        if (fs::is_regular_file(path, ec)) {
            add(path);
            return {};
        }
        std::vector<fs::path> folders, files;
        fs::directory_iterator it(path, ec);
        if (ec) {
            if (depth == 0) return errno_error("cannot read the folder", path.string(), ec.value());
            skipped.push_back({path.string(), "cannot be read: " + ec.message()});
            return {};
        }
        bool adapter = false, model = false;
        for (const fs::directory_iterator end; it != end; it.increment(ec)) {
            if (ec) break;
            const fs::path p = it->path();
            const std::string name = p.filename().string();
            std::error_code each;
            if (it->is_symlink(each) && it->is_directory(each)) continue;  // no loops, and nothing twice
            if (it->is_directory(each)) {
                if (!name.starts_with('.')) folders.push_back(p);
            } else if (name == "adapter_config.json") {
                adapter = true;
            } else if (name == "config.json" || name == "model.safetensors" || name.ends_with(".safetensors.index.json")) {
                model = true;
            }
            if (p.extension() == ".safetensors" && it->is_regular_file(each)) files.push_back(p);
        }
        std::sort(files.begin(), files.end());
        std::sort(folders.begin(), folders.end());
        if (adapter) {
            skipped.push_back({path.string(), "an adapter, not a model"});
        } else if (model && !files.empty()) {
            add(path);
        } else {
            for (const fs::path& f : files) add(f);
        }
        if (depth < kMostDepth)
            for (const fs::path& f : folders) TENPAK_RETURN_IF_ERROR(folder(f, depth + 1));
        return {};
    }

    std::vector<std::shared_ptr<const ModelSource>> models;
    std::vector<std::string> paths;
    std::vector<Skipped> skipped;

   private:
    void add(const fs::path& path) {
        std::error_code ec;
        const fs::path real = fs::weakly_canonical(path, ec);
        if (real == fine_tune_ || real.parent_path() == fine_tune_ || fine_tune_.parent_path() == real) {
            skipped.push_back({path.string(), "the fine-tune itself"});
            return;
        }
        auto m = ModelDirectory::open(path);
        if (!m.ok()) {
            skipped.push_back({path.string(), m.error().what});
            return;
        }
        models.push_back(std::move(m).value());
        paths.push_back(path.string());
    }

    const JobContext& job_;
    fs::path fine_tune_;
    std::set<fs::path> seen_;
};

Result<int> run_find_base(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto fine, ModelDirectory::open(o.fine_tune));
    Scan scan(ctx.job, fs::path(o.fine_tune));
    for (const std::string& f : o.folders) TENPAK_RETURN_IF_ERROR(scan.folder(f));
    TENPAK_ASSIGN(const auto ranking, delta::choose_base(*fine, scan.models, o.threads, ctx.job));
    OrderedJson candidates = OrderedJson::array();
    std::string text, best;
    for (const auto& c : ranking) {
        const std::string& path = scan.paths[c.candidate];
        if (!c.fits) {
            scan.skipped.push_back({path, c.reason});
            continue;
        }
        if (best.empty()) best = path;
        candidates.push_back({{"path", path}, {"estimated_bits_per_weight", c.bits_per_weight}, {"saved_fraction", c.saved_fraction}, {"matched_tensors", c.matched_tensors},
                              {"tensors", c.tensors}, {"reason", c.reason}});
        text += path + ": about " + format_percent(c.saved_fraction) + " saved; " + c.reason + "\n";
    }
    OrderedJson skipped = OrderedJson::array();
    for (const Skipped& s : scan.skipped) {
        skipped.push_back({{"path", s.path}, {"reason", s.why}});
        print_note(ctx, "skipped " + s.path + ": " + s.why);
    }
    OrderedJson json{{"fine_tune", o.fine_tune}, {"candidates", std::move(candidates)}, {"skipped", std::move(skipped)}};
    json["best"] = best.empty() ? OrderedJson() : OrderedJson(best);
    print_result(ctx, json, best.empty() ? "no model here fits " + o.fine_tune : "best base: " + best + "\n" + text.substr(0, text.size() - 1));
    return 0;
}

}  // namespace

void add_find_base(CLI::App& delta, Context& ctx) {
    const auto o = std::make_shared<Options>();
    auto* command = delta.add_subcommand("find-base", "Which of the models in some folders the fine-tune is made from");
    command->add_option("FT", o->fine_tune, "Fine-tune: folder or .safetensors")->required();
    command->add_option("FOLDER", o->folders, "Folders to look for models in")->required();
    command->add_option("--threads", o->threads, "Threads (0: all usable CPUs)");
    command->callback([&ctx, o] { ctx.run = [&ctx, o] { return run_find_base(ctx, *o); }; });
}

}  // namespace tenpak::cli
