// SPDX-License-Identifier: Apache-2.0
#include "core/model/subword_model.h"

#include "core/model/bpe.h"
#include "core/model/unigram.h"

namespace tenpak::model {

std::string byte_token(unsigned char byte) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    return {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
}

Result<std::unique_ptr<SubwordModel>> SubwordModel::parse(const Json& model, const std::string& where) {
    std::string type = "BPE";  // files of early versions of the library have no "type" in a BPE model
    if (model.is_object() && model.contains("type") && !model.at("type").is_null()) {
        TENPAK_ASSIGN(type, json_get<std::string>(model, "type", where));
    } else if (model.is_object() && !model.contains("merges") && model.contains("unk_id")) {
        type = "Unigram";
    }
    if (type == "BPE") {
        TENPAK_ASSIGN(auto bpe, Bpe::parse(model, where));
        return std::unique_ptr<SubwordModel>(std::move(bpe));
    }
    if (type == "Unigram") {
        TENPAK_ASSIGN(auto unigram, Unigram::parse(model, where));
        return std::unique_ptr<SubwordModel>(std::move(unigram));
    }
    return make_error(ErrorCode::kUnsupported, "tokenizer model \"" + type + "\" is not known", where, "Known: BPE, Unigram");
}

}  // namespace tenpak::model
