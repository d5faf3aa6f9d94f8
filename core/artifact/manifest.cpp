// SPDX-License-Identifier: Apache-2.0
#include "core/artifact/manifest.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <unordered_set>

#include "core/artifact/layout.h"
#include "core/base/json.h"

namespace tenpak::artifact {
namespace {

constexpr std::size_t kMaxRanges = 65536;  // of a chunk in the base
constexpr std::uint64_t kMaxName = 1u << 20;  // of a chunk or tensor: data, may be anything that is UTF-8

std::string hex64(std::uint64_t v) {
    std::array<std::uint8_t, 8> b{};
    for (std::size_t i = 0; i < 8; ++i) b[i] = static_cast<std::uint8_t>(v >> (56 - 8 * i));
    return to_hex(b);
}
/// "model.norm.weight#0" -> "model.norm.weight"
std::string_view tensor_of(std::string_view block_name) { return block_name.substr(0, block_name.rfind('#')); }

/// A range says only what differs from the usual: the tensor of the same name, its first bytes, as many as decoded.
Json range_to_json(const BaseRange& r, const BlockInfo& b) {
    Json j = Json::object();
    if (r.in_file) j["file"] = r.tensor;
    else if (b.base.size() > 1 || r.tensor != tensor_of(b.name)) j["tensor"] = r.tensor;
    if (r.offset != 0) j["offset"] = r.offset;
    if (b.base.size() > 1 || r.size != b.raw_size) j["size"] = r.size;
    return j;
}
/// One range as an object, several as a list.
Json base_to_json(const BlockInfo& b) {
    if (b.base.size() == 1) return range_to_json(b.base.front(), b);
    Json list = Json::array();
    for (const BaseRange& r : b.base) list.push_back(range_to_json(r, b));
    return list;
}

bool is_codec_name(std::string_view s) {
    return !s.empty() && s.size() <= 32 &&
           std::all_of(s.begin(), s.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; });
}
bool is_text(std::string_view s, std::uint64_t cap) { return s.size() <= cap && is_valid_utf8(s); }

/// YYYY-MM-DDThh:mm:ssZ
bool is_timestamp(std::string_view s) {
    constexpr std::string_view kForm = "0000-00-00T00:00:00Z";
    if (s.size() != kForm.size()) return false;
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (kForm[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != kForm[i]) return false;
    }
    return true;
}

/// Reads one object's keys; at the end every key must have been asked for.
class Fields {
   public:
    Fields(const Json& j, std::string where) : j_(j), where_(std::move(where)) {}
    template <class T>
    bool get(const char* key, T& out) {
        if (!ok()) return false;
        auto r = json_get<T>(j_, key, where_);
        if (!r.ok()) {
            error_ = std::move(r).error();
            return false;
        }
        out = std::move(*r);
        ++used_;
        return true;
    }
    bool has(const char* key) const { return j_.is_object() && j_.contains(key); }
    const Json* object(const char* key) { return child(key, true); }
    const Json* array(const char* key) { return child(key, false); }
    const Json* any(const char* key) {
        if (!has(key)) {
            fail(std::string("\"") + key + "\" is missing");
            return nullptr;
        }
        ++used_;
        return &j_.at(key);
    }
    void digest(const char* key, Digest& out) {
        std::string hex;
        if (!get(key, hex)) return;
        if (const auto d = digest_from_hex(hex)) out = *d;
        else fail(std::string("\"") + key + "\" must be 64 lowercase hexadecimal digits");
    }
    void fail(std::string what) {
        if (ok()) error_ = make_error(ErrorCode::kMalformed, std::move(what), where_);
    }
    bool ok() const { return !error_.has_value(); }
    Status finish() {
        if (ok() && used_ != j_.size()) fail("there are keys that version 2 does not have");
        if (!ok()) return *error_;
        return {};
    }

   private:
    const Json* child(const char* key, bool object) {
        const Json* c = ok() ? any(key) : nullptr;
        if (c != nullptr && (object ? !c->is_object() : !c->is_array())) {
            fail(std::string("\"") + key + (object ? "\" must be an object" : "\" must be a list"));
            return nullptr;
        }
        return c;
    }
    const Json& j_;
    std::string where_;
    std::size_t used_ = 0;
    std::optional<Error> error_;
};

Result<BlockInfo> parse_chunk(const Json& j, std::uint64_t& offset, const std::string& where) {
    if (!j.is_object()) return make_error(ErrorCode::kMalformed, "a chunk must be an object", where);
    Fields f(j, where);
    BlockInfo b;
    std::string xxh3;
    f.get("name", b.name);
    f.get("codec", b.codec);
    f.get("offset", offset);
    f.get("size", b.stored_size);
    f.digest("sha256", b.stored_sha256);
    f.get("raw_size", b.raw_size);
    f.digest("raw_sha256", b.raw_sha256);
    if (f.get("raw_xxh3", xxh3)) {
        const auto d = digest_from_hex(std::string(48, '0') + xxh3);
        if (!d) f.fail("\"raw_xxh3\" must be 16 lowercase hexadecimal digits");
        else for (std::size_t i = 24; i < 32; ++i) b.raw_xxh3 = b.raw_xxh3 << 8 | (*d)[i];
    }
    if (const Json* base = f.has("base") ? f.any("base") : nullptr; base != nullptr) {
        const auto add = [&](const Json& object) -> Status {
            if (!object.is_object()) return make_error(ErrorCode::kMalformed, "\"base\" must hold objects", where);
            Fields r(object, where);
            BaseRange range{std::string(tensor_of(b.name)), 0, b.raw_size, r.has("file")};
            if (range.in_file) r.get("file", range.tensor);
            else if (r.has("tensor")) r.get("tensor", range.tensor);
            if (r.has("offset")) r.get("offset", range.offset);
            if (r.has("size")) r.get("size", range.size);
            TENPAK_RETURN_IF_ERROR(r.finish());
            b.base.push_back(std::move(range));
            return {};
        };
        if (!base->is_array()) {
            TENPAK_RETURN_IF_ERROR(add(*base));
        } else {
            if (base->size() > kMaxRanges) f.fail("\"base\" has too many ranges");
            else for (const Json& r : *base) TENPAK_RETURN_IF_ERROR(add(r));
        }
    }
    if (f.has("transform")) f.get("transform", b.transform);
    if (f.has("factors")) {
        std::uint64_t id = 0;
        if (f.get("factors", id) && id >= kMaxChunks) f.fail("\"factors\" must be the number of a chunk");
        b.factors = static_cast<BlockId>(id);
        if (f.has("factors_weight")) f.get("factors_weight", b.factors_weight);
    }
    TENPAK_RETURN_IF_ERROR(f.finish());
    return b;
}

Result<FileRecord> parse_file(const Json& j, const std::string& where) {
    if (!j.is_object()) return make_error(ErrorCode::kMalformed, "a file must be an object", where);
    Fields f(j, where);
    FileRecord r;
    f.get("path", r.path);
    f.get("size", r.size);
    f.digest("sha256", r.sha256);
    if (f.has("executable")) f.get("executable", r.executable);
    if (const Json* list = f.array("chunks")) {
        r.blocks.reserve(list->size());
        for (const Json& id : *list) {
            if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= kMaxChunks) {
                f.fail("\"chunks\" of a file must be numbers of chunks");
                break;
            }
            r.blocks.push_back(id.get<BlockId>());
        }
    }
    TENPAK_RETURN_IF_ERROR(f.finish());
    return r;
}

Result<BaseRecord> parse_base(const Json& j, const std::string& where) {
    Fields f(j, where + ", base");
    BaseRecord b;
    f.get("id", b.id);
    f.get("revision", b.revision);
    const auto digests = [&](const char* key, std::map<std::string, Digest>& out) {
        const Json* map = f.object(key);
        if (map == nullptr) return;
        for (const auto& [name, hex] : map->items()) {
            const auto d = hex.is_string() ? digest_from_hex(hex.get_ref<const std::string&>()) : std::nullopt;
            if (!d) return f.fail("a SHA-256 in the base's record must be 64 lowercase hexadecimal digits");
            out.emplace(name, *d);
        }
    };
    digests("tensors", b.tensors);
    if (f.has("files")) digests("files", b.files);
    TENPAK_RETURN_IF_ERROR(f.finish());
    return b;
}

Result<Manifest> parse_content(const Json& j, const std::string& where) {
    Fields f(j, where);
    Manifest m;
    std::uint64_t version = 0;
    if (f.get("version", version) && version != kVersion) {
        return make_error(ErrorCode::kUnsupported, "a manifest of version " + std::to_string(version), where, "This program reads version 2: use another one");
    }
    f.get("model_id", m.model.model_id);
    f.get("codec", m.model.codec);
    f.get("lossless", m.model.lossless);
    f.get("created", m.created);
    if (const Json* a = f.object("attestation")) {
        for (const auto& [key, value] : a->items()) {
            if (!value.is_string()) f.fail("\"attestation\" must map names to text");
            else m.model.attestation.emplace(key, value.get<std::string>());
        }
    }
    if (const Json* s = f.object("signature")) {
        Fields sf(*s, where + ", signature");
        std::string file;
        sf.get("scheme", m.signature_scheme);
        sf.get("file", file);
        if (sf.ok() && file != (m.signature_scheme == "none" ? "" : "signature.sig")) sf.fail("\"file\" must be \"signature.sig\", or empty without a signature");
        TENPAK_RETURN_IF_ERROR(sf.finish());
    }
    const Json* base = f.ok() ? f.any("base") : nullptr;
    if (base != nullptr && base->is_object()) {
        TENPAK_ASSIGN(m.model.base, parse_base(*base, where));
    } else if (base != nullptr && !base->is_null()) {
        f.fail("\"base\" must be an object or null");
    }
    if (const Json* chunks = f.array("chunks")) {
        if (chunks->size() > kMaxChunks) f.fail("more than 1,000,000 chunks");
        else {
            m.blocks.reserve(chunks->size());
            m.offsets.reserve(chunks->size());
            for (const Json& c : *chunks) {
                std::uint64_t offset = 0;
                TENPAK_ASSIGN(BlockInfo b, parse_chunk(c, offset, where + ", chunk " + std::to_string(m.blocks.size())));
                m.blocks.push_back(std::move(b));
                m.offsets.push_back(offset);
            }
        }
    }
    if (const Json* files = f.array("files")) {
        if (files->size() > kMaxFiles) f.fail("more than 100,000 files");
        else {
            for (const Json& file : *files) {
                TENPAK_ASSIGN(FileRecord r, parse_file(file, where + ", file " + std::to_string(m.files.size())));
                m.files.push_back(std::move(r));
            }
        }
    }
    if (const Json* packs = f.array("packs")) {
        for (const Json& p : *packs) {
            if (p.is_number_unsigned()) m.packs.push_back(p.get<std::uint64_t>());
            else f.fail("\"packs\" must be sizes");
        }
    }
    TENPAK_RETURN_IF_ERROR(f.finish());
    return m;
}

std::string dump(const Manifest& m) {
    Json j = {{"version", kVersion}, {"model_id", m.model.model_id}, {"codec", m.model.codec}, {"lossless", m.model.lossless},
              {"created", m.created}, {"attestation", Json::object()}, {"base", nullptr}, {"files", Json::array()},
              {"chunks", Json::array()}, {"packs", m.packs},
              {"signature", {{"scheme", m.signature_scheme}, {"file", m.signature_scheme == "none" ? "" : "signature.sig"}}}};
    for (const auto& [key, value] : m.model.attestation) j["attestation"][key] = value;
    if (m.model.base) {
        Json tensors = Json::object(), files = Json::object();
        for (const auto& [name, digest] : m.model.base->tensors) tensors[name] = to_hex(digest);
        for (const auto& [path, digest] : m.model.base->files) files[path] = to_hex(digest);
        j["base"] = {{"id", m.model.base->id}, {"revision", m.model.base->revision}, {"tensors", std::move(tensors)}};
        if (!files.empty()) j["base"]["files"] = std::move(files);
    }
    for (const FileRecord& f : m.files) {
        Json file = {{"path", f.path}, {"size", f.size}, {"sha256", to_hex(f.sha256)}, {"chunks", f.blocks}};
        if (f.executable) file["executable"] = true;
        j["files"].push_back(std::move(file));
    }
    for (std::size_t i = 0; i < m.blocks.size(); ++i) {
        const BlockInfo& b = m.blocks[i];
        Json chunk = {{"name", b.name}, {"codec", b.codec}, {"offset", m.offsets[i]}, {"size", b.stored_size}, {"sha256", to_hex(b.stored_sha256)},
                      {"raw_size", b.raw_size}, {"raw_sha256", to_hex(b.raw_sha256)}, {"raw_xxh3", hex64(b.raw_xxh3)}};
        if (!b.base.empty()) chunk["base"] = base_to_json(b);
        if (!b.transform.empty()) chunk["transform"] = b.transform;
        if (b.factors) chunk["factors"] = *b.factors;
        if (b.factors_weight != 0) chunk["factors_weight"] = b.factors_weight;
        j["chunks"].push_back(std::move(chunk));
    }
    return canonical_json(j);
}

Status check_chunks(const Manifest& m, const std::string& where) {
    Placement placement;
    for (std::size_t i = 0; i < m.blocks.size(); ++i) {
        const BlockInfo& b = m.blocks[i];
        const auto bad = [&](std::string what) { return make_error(ErrorCode::kMalformed, std::move(what), where + ", chunk " + std::to_string(i)); };
        if (!is_text(b.name, kMaxName)) return bad("its name is no UTF-8 text or too long");
        if (!is_codec_name(b.codec)) return bad("its codec is no name");
        if (b.raw_size > kMaxBlock) return bad("it decodes to more than 256 MiB");
        if (b.codec == "raw" && (b.stored_size != b.raw_size || b.stored_sha256 != b.raw_sha256)) return bad("raw, but stored and decoded bytes differ");
        auto offset = placement.place(b.codec, b.stored_size);
        if (!offset.ok()) return bad(offset.error().what);
        if (*offset != m.offsets[i]) return bad("its offset is not where the chunk before ends");
        for (const BaseRange& r : b.base) {
            if (!m.model.base || !(r.in_file ? m.model.base->files : m.model.base->tensors).contains(r.tensor)) return bad("it needs a part of the base that the manifest does not record");
            if (r.size > kMaxBlock || r.offset > kMaxTotal - r.size) return bad("its base range is too large");
        }
        if (!is_text(b.transform, 256)) return bad("its transform is no text or too long");
        if (b.base.empty() && (!b.transform.empty() || b.factors)) return bad("it has no base and says what becomes of it");
        if (b.factors && *b.factors >= i) return bad("its factors do not lie in front of it");
        if (b.factors_weight > kMaxTotal || (b.factors_weight != 0 && !b.factors)) return bad("its place in the factors is impossible");
    }
    if (placement.packs() != m.packs) return make_error(ErrorCode::kMalformed, "the packs do not fit the chunks", where);
    return {};
}

Status check_files(const Manifest& m, const std::string& where) {
    std::set<std::string_view> paths;
    std::vector<bool> used(m.blocks.size());
    std::uint64_t total = 0;
    for (const FileRecord& f : m.files) {
        const auto bad = [&](std::string what) { return make_error(ErrorCode::kMalformed, std::move(what), where + ", file " + f.path.substr(0, 200)); };
        TENPAK_RETURN_IF_ERROR(check_relative_path(f.path));
        if (!paths.insert(f.path).second) return bad("the file is listed twice");
        std::uint64_t sum = 0;
        for (const BlockId id : f.blocks) {
            if (id >= m.blocks.size()) return bad("it needs a chunk that is not there");
            used[id] = true;
            sum += m.blocks[id].raw_size;  // at most kMaxBlock each, checked against the bound at every step
            if (sum > kMaxTotal) return bad("it is too large");
        }
        if (sum != f.size) return bad("its chunks decode to " + std::to_string(sum) + " bytes, its size is " + std::to_string(f.size));
        total += sum;
        if (total > kMaxTotal) return bad("all files together are too large");
    }
    for (const std::string_view p : paths) {
        for (std::size_t slash = p.find('/'); slash != p.npos; slash = p.find('/', slash + 1)) {
            if (paths.contains(p.substr(0, slash))) {
                return make_error(ErrorCode::kMalformed, "a file is also the folder of another", where + ", file " + std::string(p.substr(0, slash)));
            }
        }
    }
    for (const BlockInfo& b : m.blocks)
        if (b.factors) used[*b.factors] = true;
    if (const auto it = std::find(used.begin(), used.end(), false); it != used.end()) {
        return make_error(ErrorCode::kMalformed, "a chunk belongs to no file", where + ", chunk " + std::to_string(it - used.begin()));
    }
    return {};
}

}  // namespace

std::uint64_t Manifest::data_bytes() const { return std::accumulate(packs.begin(), packs.end(), std::uint64_t{0}); }
bool Manifest::has_aligned() const {
    return std::any_of(blocks.begin(), blocks.end(), [](const BlockInfo& b) { return b.codec == "raw" && b.stored_size >= kAlignedFrom; });
}

Status check_manifest(const Manifest& m, const std::string& where) {
    const auto bad = [&](const char* what) { return make_error(ErrorCode::kMalformed, what, where); };
    if (!is_text(m.model.model_id, 4096)) return bad("\"model_id\" is no UTF-8 text or too long");
    if (!is_codec_name(m.model.codec)) return bad("\"codec\" is no name");
    if (!is_codec_name(m.signature_scheme)) return bad("the signature's scheme is no name");
    if (!is_timestamp(m.created)) return bad("\"created\" must be a time like 2026-01-31T12:00:00Z");
    for (const auto& [key, value] : m.model.attestation) {
        if (!is_text(key, 256) || !is_text(value, 1u << 20)) return bad("\"attestation\" has a text that is no UTF-8 or too long");
    }
    if (m.model.base) {
        if (!is_text(m.model.base->id, 4096) || !is_text(m.model.base->revision, 256)) return bad("the base's id or revision is no UTF-8 text or too long");
        for (const auto& [name, digest] : m.model.base->tensors) {
            if (!is_text(name, kMaxName)) return bad("a base tensor's name is no UTF-8 text or too long");
        }
        for (const auto& [path, digest] : m.model.base->files) TENPAK_RETURN_IF_ERROR(check_relative_path(path));
    }
    if (m.blocks.size() > kMaxChunks || m.files.size() > kMaxFiles || m.offsets.size() != m.blocks.size()) return bad("too many chunks or files");
    TENPAK_RETURN_IF_ERROR(check_chunks(m, where));
    return check_files(m, where);
}

Result<std::string> encode_manifest(const Manifest& m) {
    TENPAK_RETURN_IF_ERROR(check_manifest(m, "manifest.json"));
    std::string text = dump(m);
    if (text.size() > kMaxManifest) return make_error(ErrorCode::kUnsupported, "the manifest would be larger than 128 MiB", "manifest.json");
    return text;
}

Result<Manifest> parse_manifest(std::string_view bytes, const std::string& where) {
    try {
        TENPAK_ASSIGN(const Json j, parse_json(bytes, where, {kMaxManifest, 8}));
        if (!j.is_object()) return make_error(ErrorCode::kMalformed, "the manifest must be an object", where);
        TENPAK_ASSIGN(Manifest m, parse_content(j, where));
        TENPAK_RETURN_IF_ERROR(check_manifest(m, where));
        if (dump(m) != bytes) return make_error(ErrorCode::kMalformed, "the manifest is not in canonical form", where);
        return m;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the manifest", where);
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kMalformed, std::string("the manifest cannot be read: ") + e.what(), where);
    }
}

}  // namespace tenpak::artifact
