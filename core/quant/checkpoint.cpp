// SPDX-License-Identifier: Apache-2.0
#include "core/quant/checkpoint.h"

#include <cstring>
#include <limits>

#include "core/base/json.h"

namespace tenpak::quant {
namespace {

// Of the arithmetic of all quantizers: raised with every change that gives other bytes.
constexpr int kVersion = 1;
constexpr const char* kKey = "tenpak_checkpoint";

template <class T>
constexpr DType dtype_of() {
    if constexpr (std::is_same_v<T, float>) return DType::kF32;
    else if constexpr (std::is_same_v<T, std::uint32_t>) return DType::kU32;
    else if constexpr (std::is_same_v<T, std::uint16_t>) return DType::kU16;
    else return DType::kU8;
}

// Calls f(name, vector) for each array of a weight; W is LinearWeight or const LinearWeight.
template <class W, class F>
void for_each_array(W& w, const F& f) {
    f("f32", w.f32), f("half", w.half), f("codes", w.codes), f("scales", w.scales), f("zeros", w.zeros), f("low", w.low), f("mask", w.mask);
    f("multiples", w.multiples), f("group_index", w.group_index), f("scale_codes", w.scale_codes), f("nested_scales", w.nested_scales), f("bias", w.bias);
}

// Of everything that read() uses.
std::string content_hash(const std::string& description, const std::vector<TensorToWrite>& tensors) {
    std::string all = description;
    for (const TensorToWrite& t : tensors) all += "|" + t.name + ":" + std::to_string(t.data.size()) + ":" + std::to_string(xxh3_64(t.data));
    return to_hex(sha256(as_bytes(all)));
}

Json describe(const QuantizedModel& part) {
    Json linears = Json::object(), errors = Json::array();
    for (const auto& [name, w] : part.weights.linears) {
        linears[name] = {{"format", static_cast<int>(w.format)}, {"n", w.n}, {"k", w.k}, {"group", w.group}, {"symmetric", w.symmetric},
                         {"outlier_threshold", w.outlier_threshold}, {"nested_offset", w.nested_offset}};
    }
    for (const LayerError& e : part.errors) errors.push_back({e.name, e.relative, e.nearest, e.group});
    return {{"linears", linears}, {"errors", errors}, {"notes", part.notes}};
}

template <class T>
TensorToWrite tensor(const std::string& name, const std::vector<T>& v) {
    return {name, dtype_of<T>(), {v.size()}, std::as_bytes(std::span(v))};
}

std::vector<TensorToWrite> tensors_of(const QuantizedModel& part) {
    std::vector<TensorToWrite> out;
    for (const auto& [name, w] : part.weights.linears) {
        for_each_array(w, [&, &linear = name](const char* array, const auto& v) {
            if (!v.empty()) out.push_back(tensor("linear/" + linear + "/" + array, v));
        });
    }
    for (const auto& [name, v] : part.weights.vectors) out.push_back(tensor("vector/" + name, v));
    return out;
}

template <class T>
Status read_array(const ModelSource& file, const std::string& name, std::vector<T>& out) {
    const TensorInfo* info = file.find(name);
    if (info == nullptr) return {};
    if (info->dtype != dtype_of<T>()) return make_error(ErrorCode::kIntegrity, "the checkpoint holds another type", name);
    out.resize(info->elements());
    return file.read(*info, 0, std::as_writable_bytes(std::span(out)));
}

Status restore(const ModelSource& file, const Json& description, QuantizedModel& part) {
    const std::string where = file.id();
    TENPAK_ASSIGN(const Json linears, json_get<Json>(description, "linears", where));
    for (const auto& [name, d] : linears.items()) {
        compute::LinearWeight w;
        TENPAK_ASSIGN(const auto format, json_get<std::uint32_t>(d, "format", where));
        if (format > static_cast<std::uint32_t>(compute::WeightFormat::kFp8Channel)) return make_error(ErrorCode::kIntegrity, "unknown weight format", where);
        w.format = static_cast<compute::WeightFormat>(format);
        TENPAK_ASSIGN(w.n, json_get<std::uint32_t>(d, "n", where));
        TENPAK_ASSIGN(w.k, json_get<std::uint32_t>(d, "k", where));
        TENPAK_ASSIGN(w.group, json_get<std::uint32_t>(d, "group", where));
        TENPAK_ASSIGN(w.symmetric, json_get<bool>(d, "symmetric", where));
        TENPAK_ASSIGN(w.outlier_threshold, json_get<float>(d, "outlier_threshold", where));
        TENPAK_ASSIGN(w.nested_offset, json_get<float>(d, "nested_offset", where));
        Status status;
        for_each_array(w, [&, &linear = name](const char* array, auto& v) {
            if (status.ok()) status = read_array(file, "linear/" + linear + "/" + array, v);
        });
        TENPAK_RETURN_IF_ERROR(status);
        TENPAK_RETURN_IF_ERROR(w.validate(name));
        part.weights.linears.emplace(name, std::move(w));
    }
    constexpr std::string_view kVector = "vector/";
    for (const TensorInfo& t : file.tensors()) {
        if (t.name.starts_with(kVector)) TENPAK_RETURN_IF_ERROR(read_array(file, t.name, part.weights.vectors[t.name.substr(kVector.size())]));
    }
    try {
        for (const Json& e : description.at("errors")) part.errors.push_back({e.at(0), e.at(1), e.at(2), e.at(3)});
        part.notes = description.at("notes").get<std::vector<std::string>>();
    } catch (const Json::exception& e) {
        return make_error(ErrorCode::kIntegrity, std::string("the checkpoint's description is damaged: ") + e.what(), where);
    }
    return {};
}

}  // namespace

Result<std::string> model_fingerprint(const ModelSource& source, const JobContext& ctx) {
    constexpr std::uint64_t kPiece = 16u << 20;
    std::string all;
    TENPAK_ASSIGN(const Bytes config, source.read_side_file("config.json"));
    all += "config:" + std::to_string(xxh3_64(config));
    Bytes piece;
    for (const TensorInfo& t : source.tensors()) {
        all += "|" + t.name + ":" + std::string(dtype_name(t.dtype));
        for (const std::uint64_t d : t.shape) all += "," + std::to_string(d);
        for (std::uint64_t at = 0; at < t.bytes; at += kPiece) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            piece.resize(std::min(kPiece, t.bytes - at));
            TENPAK_RETURN_IF_ERROR(source.read(t, at, piece));
            all += ":" + std::to_string(xxh3_64(piece));
        }
    }
    return to_hex(sha256(as_bytes(all)));
}

std::string candidate_fingerprint(const std::string& model, const Candidate& c, const CalibrationWindows& windows, const CalibrationOptions& options,
                                  const std::string& backend) {
    std::string all = "tenpak " TENPAK_VERSION "," + std::to_string(kVersion) + "|" + model + "|" + c.name + "," + std::to_string(static_cast<int>(c.method)) + "," +
                      std::to_string(static_cast<int>(c.format)) + "," + std::to_string(c.bits) + "," + std::to_string(c.group) + "," + std::to_string(c.symmetric) + "," +
                      std::to_string(c.act_order) + "," + std::to_string(c.clip) + "," + std::to_string(c.outlier_threshold) + "," + std::to_string(c.target_bits);
    if (c.needs_calibration()) {
        all += "|" + backend + "," + std::to_string(options.propagate) + "," + std::to_string(windows.length) + "," +
               std::to_string(xxh3_64(std::as_bytes(std::span(windows.tokens)))) + "," + std::to_string(windows.tokens.size());
    }
    return to_hex(sha256(as_bytes(all)));
}

Checkpoints::Checkpoints(fs::path folder, std::string fingerprint) : folder_(std::move(folder)), fingerprint_(std::move(fingerprint)) {}

fs::path Checkpoints::file_of(std::uint32_t layer) const {
    std::string number = std::to_string(layer);
    return folder_ / ("layer-" + std::string(number.size() < 4 ? 4 - number.size() : 0, '0') + number + ".safetensors");
}

bool Checkpoints::has(std::uint32_t layer) const { return read(layer).ok(); }

Result<QuantizedModel> Checkpoints::read(std::uint32_t layer) const {
    const fs::path path = file_of(layer);
    const auto damaged = [&](const std::string& why) { return make_error(ErrorCode::kIntegrity, "the checkpoint is damaged: " + why, path.string()); };
    std::error_code ignored;
    if (folder_.empty() || !fs::exists(path, ignored)) return make_error(ErrorCode::kNotFound, "no checkpoint of this layer", path.string());
    TENPAK_ASSIGN(const auto file, ModelDirectory::open(path));
    const auto& metadata = file->weight_header(0).metadata;
    const auto entry = metadata.find(kKey), hash = metadata.find("hash");
    if (entry == metadata.end() || hash == metadata.end()) return damaged("it says not what it is");
    TENPAK_ASSIGN(const Json description, parse_json(entry->second, path.string()));
    TENPAK_ASSIGN(const auto fingerprint, json_get<std::string>(description, "fingerprint", path.string()));
    if (fingerprint != fingerprint_) return make_error(ErrorCode::kNotFound, "the checkpoint is of another quantization", path.string());
    QuantizedModel part;
    TENPAK_RETURN_IF_ERROR(restore(*file, description, part));
    if (content_hash(entry->second, tensors_of(part)) != hash->second) return damaged("its hash is another");
    return part;
}

Status Checkpoints::write(std::uint32_t layer, const QuantizedModel& part) const {
    if (folder_.empty()) return {};
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) return errno_error("the folder for checkpoints cannot be made", folder_.string(), error.value());
    Json description = describe(part);
    description["fingerprint"] = fingerprint_;
    description["layer"] = layer;
    const std::string text = canonical_json(description);
    std::vector<TensorToWrite> tensors = tensors_of(part);
    const std::string hash = content_hash(text, tensors);
    remove_stale_temporaries(file_of(layer));
    return write_safetensors(file_of(layer), std::move(tensors), {{kKey, text}, {"hash", hash}});
}

}  // namespace tenpak::quant
