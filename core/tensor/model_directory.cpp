// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "core/base/json.h"
#include "core/tensor/model_source.h"

namespace tenpak {
namespace {

/// A model has tens of files. Beyond this somebody has named a home folder by mistake.
constexpr std::size_t kMaxFiles = 100'000;
constexpr std::uint64_t kMaxIndexBytes = 100'000'000;
constexpr std::string_view kWeights = ".safetensors";
constexpr std::string_view kIndex = ".safetensors.index.json";

bool is_unfinished(const std::string& name) {
    constexpr std::array<std::string_view, 4> kEndings{".incomplete", ".crdownload", ".part", ".aria2"};
    return std::any_of(kEndings.begin(), kEndings.end(), [&](std::string_view e) { return name.ends_with(e); });
}

/// Every file below `root`, sorted by path. Folders reached by links are left out: a loop or a way out of the model.
Status list_files(const fs::path& root, std::vector<ModelFile>& files, std::vector<std::string>& ignored) {
    std::vector<std::string> folders{""};
    while (!folders.empty()) {
        const std::string folder = std::move(folders.back());
        folders.pop_back();
        std::error_code ec;
        for (fs::directory_iterator it(root / folder, ec), end; !ec && it != end; it.increment(ec)) {
            const std::string name = it->path().filename().string();
            const std::string path = folder.empty() ? name : folder + "/" + name;
            if (files.size() + ignored.size() > kMaxFiles) {
                return make_error(ErrorCode::kUnsupported, "more than " + std::to_string(kMaxFiles) + " files", root.string(),
                                  "Choose the folder of one model");
            }
            std::error_code type_ec;
            const fs::file_status link = it->symlink_status(type_ec);
            const fs::file_status target = it->status(type_ec);
            if (name.starts_with('.') || is_unfinished(name)) {
                ignored.push_back(path);
            } else if (fs::is_directory(target)) {
                if (fs::is_symlink(link)) ignored.push_back(path);
                else folders.push_back(path);
            } else if (fs::is_symlink(link) && !fs::exists(target)) {
                return make_error(ErrorCode::kMalformed, "a symbolic link leads to nothing", it->path().string(),
                                  "The download is incomplete: fetch the model again");
            } else if (!fs::is_regular_file(target)) {
                ignored.push_back(path);
            } else {
                ModelFile f;
                f.path = path;
                f.size = it->file_size(type_ec);
                if (type_ec) return errno_error("cannot read", it->path().string(), type_ec.value());
                f.executable = (target.permissions() & fs::perms::owner_exec) != fs::perms::none;
                files.push_back(std::move(f));
            }
        }
        if (ec) return errno_error("cannot read the folder", (root / folder).string(), ec.value());
    }
    std::sort(files.begin(), files.end(), [](const ModelFile& a, const ModelFile& b) { return a.path < b.path; });
    std::sort(ignored.begin(), ignored.end());
    return {};
}

/// The refusal for a folder without weights in its root says what is there instead.
Error no_weights(const fs::path& path) {
    std::string inner, other;
    std::error_code ec;
    std::size_t looked = 0;
    for (fs::directory_iterator it(path, ec), end; !ec && it != end && looked < 1000; it.increment(ec), ++looked) {
        const std::string name = it->path().filename().string();
        std::error_code type_ec;
        if (it->is_directory(type_ec)) {
            std::error_code sub_ec;
            std::size_t seen = 0;
            for (fs::directory_iterator sub(it->path(), sub_ec), none; !sub_ec && sub != none && seen < 1000; sub.increment(sub_ec), ++seen) {
                if (sub->path().extension() == kWeights && (inner.empty() || name < inner)) inner = name;
            }
        } else if (const auto e = it->path().extension(); e == ".bin" || e == ".pt" || e == ".pth" || e == ".gguf" || e == ".ckpt") {
            if (other.empty() || name < other) other = name;
        }
    }
    if (!inner.empty()) {
        return make_error(ErrorCode::kUnsupported, "no .safetensors file in this folder", path.string(), "There are some in " + inner + " inside: choose that");
    }
    if (!other.empty()) {
        return make_error(ErrorCode::kUnsupported, "no .safetensors file in this folder, but " + other, path.string(),
                          "Convert the model to safetensors first");
    }
    return make_error(ErrorCode::kUnsupported, "no .safetensors file in this folder", path.string(), "Choose a model folder in Hugging Face layout");
}

/// What model.safetensors.index.json says: tensor -> shard.
Result<std::map<std::string, std::string>> read_index(const fs::path& path) {
    const std::string where = path.string();
    TENPAK_ASSIGN(const std::string text, read_text_file(path, kMaxIndexBytes));
    TENPAK_ASSIGN(const Json j, parse_json(text, where, {kMaxIndexBytes, 16}));
    TENPAK_ASSIGN(const Json map, json_get<Json>(j, "weight_map", where));
    if (!map.is_object() || map.empty()) return make_error(ErrorCode::kMalformed, "\"weight_map\" must map tensors to files", where);
    std::map<std::string, std::string> out;
    for (const auto& [tensor, file] : map.items()) {
        if (!file.is_string()) return make_error(ErrorCode::kMalformed, "\"weight_map\" must map tensors to files", where + ", tensor " + tensor);
        auto name = file.get<std::string>();
        if (const Status s = check_relative_path(name); !s.ok() || !name.ends_with(kWeights)) {
            return make_error(ErrorCode::kMalformed, "\"weight_map\" names something that is no .safetensors file of this folder", where + ", tensor " + tensor);
        }
        out.emplace(tensor, std::move(name));
    }
    return out;
}

/// "model-00002-of-00003.safetensors" -> (2, 3); nothing for other names.
struct ShardName {
    std::string prefix;
    unsigned number = 0, total = 0;
};
std::optional<ShardName> shard_name(const std::string& path) {
    if (!path.ends_with(kWeights)) return std::nullopt;
    const std::string stem = path.substr(0, path.size() - kWeights.size());
    const auto of = stem.rfind("-of-");
    const auto dash = of == stem.npos || of == 0 ? stem.npos : stem.rfind('-', of - 1);
    if (dash == stem.npos) return std::nullopt;
    ShardName s;
    s.prefix = stem.substr(0, dash);
    const auto number = [&](std::size_t from, std::size_t to, unsigned& v) {
        const auto [p, ec] = std::from_chars(stem.data() + from, stem.data() + to, v);
        return ec == std::errc() && p == stem.data() + to && to > from;
    };
    if (!number(dash + 1, of, s.number) || !number(of + 4, stem.size(), s.total)) return std::nullopt;
    return s;
}

/// Without an index the shards' names alone tell whether one is missing.
Status check_shard_names(const fs::path& root, const std::vector<std::string>& weights) {
    std::map<std::pair<std::string, unsigned>, std::set<unsigned>> seen;
    for (const std::string& w : weights) {
        if (const auto s = shard_name(w)) seen[{s->prefix, s->total}].insert(s->number);
    }
    for (const auto& [key, numbers] : seen) {
        for (unsigned i = 1; i <= std::min(key.second, 100'000u); ++i) {
            if (numbers.contains(i)) continue;
            return make_error(ErrorCode::kMalformed, "shard " + std::to_string(i) + " of " + std::to_string(key.second) + " is missing",
                              (root / key.first).string(), "The download is incomplete: fetch the model again");
        }
    }
    return {};
}

/// A cache folder of the hub client ("models--org--name"): the snapshot that refs/main names.
fs::path resolve_hub_cache(const fs::path& path) {
    std::error_code ec;
    if (!fs::is_directory(path / "snapshots", ec)) return path;
    const auto ref = read_text_file(path / "refs" / "main", 100);
    if (!ref.ok() || ref->size() < 40 || ref->substr(0, 40).find_first_not_of("0123456789abcdef") != std::string::npos) return path;
    const fs::path snapshot = path / "snapshots" / ref->substr(0, 40);
    return fs::is_directory(snapshot, ec) ? snapshot : path;
}

}  // namespace

Result<std::shared_ptr<const ModelDirectory>> ModelDirectory::open(const fs::path& path) {
    try {
        std::error_code ec;
        const fs::file_status status = fs::status(path, ec);
        if (!fs::exists(status)) return errno_error("no such file or folder", path.string(), ec ? ec.value() : ENOENT);
        auto m = std::make_shared<ModelDirectory>(ModelDirectory());
        m->path_ = path;
        const fs::path named = path.has_filename() && path.filename() != "." && path.filename() != ".." ? path : fs::weakly_canonical(path, ec);
        m->id_ = named.has_filename() ? named.filename().string() : named.parent_path().filename().string();

        std::vector<std::string> weights;
        std::map<std::string, std::string> index;
        std::string index_name;
        if (!fs::is_directory(status)) {
            if (path.extension() != kWeights) {
                return make_error(ErrorCode::kUnsupported, "not a .safetensors file", path.string(), "Choose a model folder, a .safetensors file or a .tnpk");
            }
            m->root_ = path.has_parent_path() ? path.parent_path() : fs::path(".");
            ModelFile f;
            f.path = path.filename().string();
            f.size = fs::file_size(path, ec);
            if (ec) return errno_error("cannot read", path.string(), ec.value());
            f.executable = (status.permissions() & fs::perms::owner_exec) != fs::perms::none;
            weights.push_back(f.path);
            m->files_.push_back(std::move(f));
        } else {
            m->root_ = resolve_hub_cache(path);
            // The root alone decides whether this is a model: a wrong folder is refused before it is walked.
            std::vector<std::string> in_root, indices;
            for (fs::directory_iterator it(m->root_, ec), end; !ec && it != end; it.increment(ec)) {
                const std::string name = it->path().filename().string();
                if (name.starts_with('.')) continue;
                if (name.ends_with(kWeights)) in_root.push_back(name);
                else if (name.ends_with(kIndex)) indices.push_back(name);
            }
            if (ec) return errno_error("cannot read the folder", path.string(), ec.value());
            if (in_root.empty() && indices.empty()) return no_weights(m->root_);
            TENPAK_RETURN_IF_ERROR(list_files(m->root_, m->files_, m->ignored_));
            std::sort(in_root.begin(), in_root.end());
            const auto has = [&](std::string_view name) { return std::binary_search(in_root.begin(), in_root.end(), name); };
            if (has("model.safetensors")) {
                weights = {"model.safetensors"};  // as transformers: the single file goes before an index
            } else if (indices.size() == 1 || std::find(indices.begin(), indices.end(), "model.safetensors.index.json") != indices.end()) {
                index_name = indices.size() == 1 ? indices.front() : "model.safetensors.index.json";
                TENPAK_ASSIGN(index, read_index(m->root_ / index_name));
                std::set<std::string> shards;
                for (const auto& [tensor, file] : index) shards.insert(file);
                weights.assign(shards.begin(), shards.end());
            } else {
                weights = in_root;
                TENPAK_RETURN_IF_ERROR(check_shard_names(m->root_, weights));
            }
        }

        for (const std::string& w : weights) {
            const auto it = std::lower_bound(m->files_.begin(), m->files_.end(), w, [](const ModelFile& f, const std::string& p) { return f.path < p; });
            if (it == m->files_.end() || it->path != w) {
                return make_error(ErrorCode::kMalformed, "shard " + w + " is missing", (m->root_ / index_name).string(),
                                  "The download is incomplete: fetch the model again");
            }
            it->weights = true;
            m->weight_index_.push_back(static_cast<std::size_t>(it - m->files_.begin()));
            TENPAK_ASSIGN(File file, File::open(m->root_ / w));
            it->size = file.size();
            TENPAK_ASSIGN(SafetensorsHeader header, read_safetensors_header(file));
            for (TensorInfo& t : header.tensors) {
                t.file = static_cast<std::uint32_t>(m->weight_files_.size());
                m->tensors_.push_back(t);
            }
            m->weight_files_.push_back(std::move(file));
            m->headers_.push_back(std::move(header));
        }
        m->index_names();
        // Names are unique over all shards, and an index says exactly what the shards hold.
        std::vector<const TensorInfo*> sorted;
        for (const TensorInfo& t : m->tensors_) sorted.push_back(&t);
        std::sort(sorted.begin(), sorted.end(), [](const TensorInfo* a, const TensorInfo* b) { return a->name < b->name; });
        for (std::size_t i = 1; i < sorted.size(); ++i) {
            if (sorted[i - 1]->name != sorted[i]->name) continue;
            return make_error(ErrorCode::kMalformed, "the tensor is in " + weights[sorted[i - 1]->file] + " and in " + weights[sorted[i]->file],
                              path.string() + ", tensor " + sorted[i]->name.substr(0, 200), "Name one .safetensors file instead of the folder");
        }
        if (!index_name.empty()) {
            const std::string where = (m->root_ / index_name).string();
            for (const auto& [tensor, file] : index) {
                const TensorInfo* t = m->find(tensor);
                if (t == nullptr || weights[t->file] != file) {
                    return make_error(ErrorCode::kMalformed, "the index puts a tensor into " + file + ", which does not hold it",
                                      where + ", tensor " + tensor.substr(0, 200), "Index and shards are of different models or downloads");
                }
            }
            if (index.size() != m->tensors_.size()) {
                const auto extra = std::find_if(m->tensors_.begin(), m->tensors_.end(), [&](const TensorInfo& t) { return !index.contains(t.name); });
                return make_error(ErrorCode::kMalformed, "a shard holds a tensor that the index does not name",
                                  where + ", tensor " + extra->name.substr(0, 200), "Index and shards are of different models or downloads");
            }
        }
        return std::shared_ptr<const ModelDirectory>(std::move(m));
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to open the model", path.string());
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kIo, std::string("cannot open the model: ") + e.what(), path.string());
    }
}

Status ModelDirectory::read(const TensorInfo& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const {
    if (tensor.file >= weight_files_.size() || byte_offset > tensor.bytes || out.size() > tensor.bytes - byte_offset) {
        return make_error(ErrorCode::kInvalidArgument, "a read beyond the tensor's end", id_ + ", tensor " + tensor.name);
    }
    return weight_files_[tensor.file].read_at(tensor.offset + byte_offset, out);
}

Result<Bytes> ModelDirectory::read_side_file(std::string_view path) const {
    TENPAK_RETURN_IF_ERROR(check_relative_path(path));
    std::error_code ec;
    if (!fs::exists(root_ / path, ec)) return make_error(ErrorCode::kNotFound, "no such file in the model", (root_ / path).string());
    return read_file(root_ / path);
}

std::uint64_t ModelDirectory::total_bytes() const {
    std::uint64_t n = 0;
    for (const ModelFile& f : files_) n += f.size;
    return n;
}

}  // namespace tenpak
