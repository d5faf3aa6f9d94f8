// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/gguf_model.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "core/base/half.h"
#include "core/quant/layouts/gguf_config.h"
#include "core/quant/layouts/gguf_tokenizer.h"

namespace tenpak::quant {
namespace {

DType shown_dtype(const GgufTensor& t, const GgufModel::Stored& s) {
    if (s.minus_one) return DType::kF32;
    return t.type == GgmlType::kF16 ? DType::kF16 : t.type == GgmlType::kBF16 ? DType::kBF16 : DType::kF32;
}

/// The only .gguf file of a folder without .safetensors; empty otherwise.
fs::path only_gguf(const fs::path& folder) {
    std::error_code ec;
    fs::path found;
    for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
        const auto extension = it->path().extension();
        if (extension == ".safetensors" || (extension == ".gguf" && !found.empty())) return {};
        if (extension == ".gguf") found = it->path();
    }
    return found;
}

}  // namespace

bool GgufModel::is_gguf(const fs::path& path) {
    std::error_code ec;
    if (fs::is_directory(path, ec)) return !only_gguf(path).empty();
    return fs::is_regular_file(path, ec) && (path.extension() == ".gguf" || looks_like_gguf(path));
}

Result<std::shared_ptr<const GgufModel>> GgufModel::open(const fs::path& path) {
    try {
        std::error_code ec;
        const fs::path found = fs::is_directory(path, ec) ? only_gguf(path) : path;
        if (found.empty()) return make_error(ErrorCode::kUnsupported, "no .gguf file in this folder, or several", path.string(), "Choose one of them");
        TENPAK_ASSIGN(File file, File::open(found));
        std::shared_ptr<GgufModel> m(new GgufModel(std::move(file)));
        m->id_ = found.filename().string();
        TENPAK_ASSIGN(m->header_, read_gguf_header(m->file_));
        TENPAK_RETURN_IF_ERROR(m->set_up());
        m->index_names();
        return std::shared_ptr<const GgufModel>(std::move(m));
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to open the model", path.string());
    }
}

Status GgufModel::set_up() {
    const std::string where = file_.path().string();
    TENPAK_ASSIGN(const auto parts, header_.integer("split.count", 1, where));
    if (parts > 1) return make_error(ErrorCode::kUnsupported, "one of " + std::to_string(parts) + " parts of a model", where, "Join them first: llama-gguf-split --merge");
    TENPAK_ASSIGN(const auto architecture, header_.text("general.architecture", "", where));
    family_ = gguf_family_named(architecture);
    if (family_ == nullptr) {
        return make_error(ErrorCode::kUnsupported, architecture.empty() ? "the file names no architecture" : "architecture \"" + architecture + "\" cannot be run yet", where,
                          "Known: " + known_gguf_architectures());
    }
    for (const GgufTensor& t : header_.tensors) {
        const GgmlTypeInfo& info = ggml_type_info(t.type);
        if (!info.readable) return make_error(ErrorCode::kUnsupported, std::string("number format ") + info.name + " cannot be read yet", where + ", tensor " + t.name.substr(0, 200));
        if (t.shape.empty() || t.shape.size() > 2) return make_error(ErrorCode::kUnsupported, "a tensor of " + std::to_string(t.shape.size()) + " dimensions", where + ", tensor " + t.name.substr(0, 200));
        for (const auto d : t.shape) {
            if (d > UINT32_MAX) return make_error(ErrorCode::kMalformed, "an impossible shape", where + ", tensor " + t.name.substr(0, 200));
        }
    }
    GgufRopeFactors factors;
    TENPAK_ASSIGN(factors.all, read_vector("rope_freqs.weight"));
    TENPAK_ASSIGN(factors.long_context, read_vector("rope_factors_long.weight"));
    TENPAK_ASSIGN(factors.short_context, read_vector("rope_factors_short.weight"));
    TENPAK_ASSIGN(const Json config, config_from_gguf(header_, *family_, factors, where));
    config_ = config.dump(2) + "\n";
    const auto number = [&](const char* key, std::uint64_t fallback) { return static_cast<std::uint32_t>(config.value(key, fallback)); };
    const std::uint32_t heads = number("num_attention_heads", 1);
    return list_tensors(heads, number("num_key_value_heads", heads), number("head_dim", number("hidden_size", heads) / heads));
}

Status GgufModel::list_tensors(std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_dim) {
    const std::string where = file_.path().string();
    std::vector<std::size_t> order(header_.tensors.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return header_.tensors[a].offset < header_.tensors[b].offset; });
    for (const std::size_t i : order) {
        const GgufTensor& t = header_.tensors[i];
        if (t.name.starts_with("rope_f")) continue;
        const auto name = hf_name(*family_, t.name);
        if (!name) return make_error(ErrorCode::kUnsupported, "a tensor that this architecture does not have", where + ", tensor " + t.name.substr(0, 200));
        Stored s;
        s.tensor = i;
        s.rows = gguf_rows(*family_, t.name, heads, kv_heads, head_dim);
        // Names of blocks other than the embedding's and the head's.
        const bool layer = t.name.starts_with("blk.");
        s.minus_one = family_->unit_offset && t.name.ends_with("norm.weight");
        s.transposed = family_->transposed && layer && t.shape.size() == 2;
        if (s.rows.order != GgufRows::Order::kSame) {
            const std::uint64_t rows = std::uint64_t{s.rows.heads} * head_dim * (s.rows.order == GgufRows::Order::kByHead ? 3 : 1);
            if (head_dim % 2 != 0 || t.shape[0] != rows) return make_error(ErrorCode::kMismatch, "the rows do not fit the number of heads", where + ", tensor " + t.name.substr(0, 200));
        }
        TensorInfo info;
        info.name = *name;
        info.shape = t.shape;
        if (s.transposed) std::swap(info.shape[0], info.shape[1]);
        info.dtype = shown_dtype(t, s);
        info.offset = t.offset;
        info.bytes = t.elements() * dtype_bits(info.dtype) / 8;
        tensors_.push_back(std::move(info));
        stored_.push_back(s);
    }
    return {};
}

Result<std::vector<float>> GgufModel::read_vector(std::string_view name) const {
    const GgufTensor* t = header_.find_tensor(name);
    if (t == nullptr) return std::vector<float>();
    if (t->type != GgmlType::kF32 || t->elements() > 4096) return make_error(ErrorCode::kMalformed, "divisors of rotary frequencies must be a few fp32 numbers", file_.path().string() + ", tensor " + t->name);
    std::vector<float> out(t->elements());
    TENPAK_RETURN_IF_ERROR(file_.read_at(t->offset, std::as_writable_bytes(std::span(out))));
    for (const float f : out) {
        if (!(f > 0 && f < 1e12f)) return make_error(ErrorCode::kMalformed, "divisors of rotary frequencies must be positive", file_.path().string() + ", tensor " + t->name);
    }
    return out;
}

std::uint64_t GgufModel::stored_row_bytes(std::size_t index) const {
    const GgufTensor& t = header_.tensors[stored_[index].tensor];
    const GgmlTypeInfo& info = ggml_type_info(t.type);
    return (t.shape.size() == 2 ? t.shape[1] / info.weights : 1) * info.bytes;
}

Status GgufModel::read_stored_row(std::size_t index, std::uint32_t row, std::span<std::byte> out) const {
    const Stored& s = stored_[index];
    const GgufTensor& t = header_.tensors[s.tensor];
    return file_.read_at(t.offset + stored_row_bytes(index) * s.rows.gguf_row(row), out);
}

// By rows, where they are reordered, or by runs of them: what is asked for may begin and end anywhere.
Status GgufModel::read_rows(std::size_t index, std::uint64_t offset, std::span<std::byte> out) const {
    const Stored& s = stored_[index];
    const GgufTensor& t = header_.tensors[s.tensor];
    const GgmlTypeInfo& info = ggml_type_info(t.type);
    const bool ordered = s.rows.order != GgufRows::Order::kSame;
    const std::size_t width = dtype_bits(tensors_[index].dtype) / 8;
    const bool direct = width == info.bytes && info.weights == 1;
    // A vector whose entries move counts as rows of one; one whose entries stay, as rows of a block.
    const std::uint64_t columns = t.shape.size() == 2 ? t.shape[1] : ordered ? 1 : info.weights;
    const std::uint64_t rows = t.elements() / columns, stored_row = columns / info.weights * info.bytes, row_bytes = columns * width;
    const std::uint64_t run = ordered ? 1 : std::max<std::uint64_t>(1, (1u << 18) / columns);
    std::vector<std::byte> raw;
    std::vector<float> values;
    for (std::size_t done = 0; done < out.size();) {
        const std::uint64_t row = (offset + done) / row_bytes, count = std::min(run, rows - row), skip = (offset + done) % row_bytes;
        const std::uint64_t from = ordered ? s.rows.gguf_row(static_cast<std::uint32_t>(row)) : row;
        raw.resize(count * stored_row);
        TENPAK_RETURN_IF_ERROR(file_.read_at(t.offset + from * stored_row, raw));
        const std::byte* bytes = raw.data();
        if (!direct || s.minus_one) {
            values.resize(count * columns);
            dequantize_blocks(t.type, raw.data(), count * columns / info.weights, values.data());
            if (s.minus_one) {
                for (float& v : values) v -= 1;
            }
            bytes = reinterpret_cast<const std::byte*>(values.data());
        }
        const std::size_t n = std::min<std::size_t>(out.size() - done, count * row_bytes - skip);
        std::memcpy(out.data() + done, bytes + skip, n);
        done += n;
    }
    return {};
}

Status GgufModel::read(const TensorInfo& tensor, std::uint64_t offset, std::span<std::byte> out) const {
    const TensorInfo* own = find(tensor.name);
    if (own == nullptr || offset > own->bytes || out.size() > own->bytes - offset) return make_error(ErrorCode::kInvalidArgument, "a read beyond the tensor's end", id_ + ", tensor " + tensor.name);
    const std::size_t index = index_of(*own);
    if (!stored_[index].transposed) return read_rows(index, offset, out);
    // GPT-2's weights, turned round in whole: they are small.
    try {
        const std::uint64_t rows = own->shape[0], columns = own->shape[1], width = dtype_bits(own->dtype) / 8;
        Bytes all(own->bytes), turned(own->bytes);
        TENPAK_RETURN_IF_ERROR(read_rows(index, 0, all));
        for (std::uint64_t r = 0; r < rows; ++r) {
            for (std::uint64_t c = 0; c < columns; ++c) std::memcpy(turned.data() + (r * columns + c) * width, all.data() + (c * rows + r) * width, width);
        }
        std::memcpy(out.data(), turned.data() + offset, out.size());
        return {};
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for a tensor", id_ + ", tensor " + tensor.name);
    }
}

Result<Bytes> GgufModel::read_side_file(std::string_view path) const {
    const auto bytes = [](const std::string& text) { return Bytes(as_bytes(text).begin(), as_bytes(text).end()); };
    try {
        if (path == "config.json") return bytes(config_);
        if (path != "tokenizer.json" && path != "tokenizer_config.json") return make_error(ErrorCode::kNotFound, "no such file in the model", id_ + "/" + std::string(path));
        const std::lock_guard lock(mutex_);
        auto it = made_.find(path);
        if (it == made_.end()) {
            TENPAK_ASSIGN(const Json j, path == "tokenizer.json" ? tokenizer_from_gguf(header_, id_) : tokenizer_config_from_gguf(header_, id_));
            it = made_.emplace(path, j.dump()).first;
        }
        return bytes(it->second);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the vocabulary", id_);
    } catch (const Json::exception& e) {
        return make_error(ErrorCode::kMalformed, std::string("values that JSON cannot hold: ") + e.what(), id_);
    }
}

}  // namespace tenpak::quant
