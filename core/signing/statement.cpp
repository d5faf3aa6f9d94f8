// SPDX-License-Identifier: Apache-2.0
#include "core/signing/statement.h"

#include <algorithm>
#include <set>

#include "core/base/json.h"

namespace tenpak::signing {
namespace {
constexpr std::string_view kType = "https://in-toto.io/Statement/v1";
constexpr std::string_view kPredicateType = "https://model_signing/signature/v1.0";
}  // namespace

Bytes make_statement(const std::string& model, const std::vector<FileRecord>& files) {
    std::vector<const FileRecord*> sorted;
    for (const FileRecord& f : files) sorted.push_back(&f);
    // UTF-8 sorts by bytes as it does by code points, which is OMS' order.
    std::sort(sorted.begin(), sorted.end(), [](const FileRecord* a, const FileRecord* b) { return a->path < b->path; });
    Sha256 root;
    OrderedJson resources = OrderedJson::array();
    for (const FileRecord* f : sorted) {
        root.update(std::as_bytes(std::span(f->sha256)));
        resources.push_back({{"name", f->path}, {"algorithm", "sha256"}, {"digest", to_hex(f->sha256)}});
    }
    const OrderedJson j = {
        {"_type", kType},
        {"subject", OrderedJson::array({{{"name", model}, {"digest", {{"sha256", to_hex(root.finish())}}}}})},
        {"predicateType", kPredicateType},
        {"predicate", {{"serialization", {{"method", "files"}, {"hash_type", "sha256"}, {"allow_symlinks", false}, {"ignore_paths", {"model.sig"}}}},
                       {"resources", std::move(resources)}}}};
    const std::string text = j.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    return Bytes(as_bytes(text).begin(), as_bytes(text).end());
}

Result<Statement> parse_statement(std::span<const std::byte> payload, const std::string& where) {
    const auto bad = [&](std::string what) { return make_error(ErrorCode::kMalformed, "not an OMS v1.0 statement: " + what, where); };
    try {
        TENPAK_ASSIGN(const Json j, parse_json(as_text(payload), where, {256u << 20, 32}));
        TENPAK_ASSIGN(const std::string type, json_get<std::string>(j, "_type", where));
        if (type != kType) return bad("_type is another");
        TENPAK_ASSIGN(const std::string predicate_type, json_get<std::string>(j, "predicateType", where));
        if (predicate_type != kPredicateType) return bad("predicateType is another");
        const auto subject = j.find("subject");
        if (subject == j.end() || !subject->is_array() || subject->size() != 1) return bad("there must be exactly one subject");
        Statement s;
        TENPAK_ASSIGN(s.model, json_get<std::string>((*subject)[0], "name", where));
        TENPAK_ASSIGN(const Json digests, json_get<Json>((*subject)[0], "digest", where));
        TENPAK_ASSIGN(const std::string root_hex, json_get<std::string>(digests, "sha256", where));

        const auto predicate = j.find("predicate");
        if (predicate == j.end() || !predicate->is_object()) return bad("predicate is missing");
        for (const auto& [key, value] : predicate->items()) {
            if (key != "serialization" && key != "resources") return bad("predicate has the unknown key \"" + key.substr(0, 100) + "\"");
        }
        TENPAK_ASSIGN(const Json how, json_get<Json>(*predicate, "serialization", where));
        TENPAK_ASSIGN(const std::string method, json_get<std::string>(how, "method", where));
        TENPAK_ASSIGN(const std::string hash_type, json_get<std::string>(how, "hash_type", where));
        if (method != "files" || hash_type != "sha256") {
            return make_error(ErrorCode::kUnsupported, "signed by " + method.substr(0, 40) + " and " + hash_type.substr(0, 40) + "; this version verifies files by sha256", where);
        }
        if (how.contains("allow_symlinks")) {
            TENPAK_ASSIGN(s.allow_symlinks, json_get<bool>(how, "allow_symlinks", where));
        }
        if (how.contains("ignore_paths")) {
            if (!how["ignore_paths"].is_array()) return bad("ignore_paths is no list");
            for (const Json& p : how["ignore_paths"]) {
                if (!p.is_string() || !check_relative_path(p.get<std::string>()).ok()) return bad("ignore_paths has something that is no relative path");
                s.ignored.push_back(p.get<std::string>());
            }
        }
        const auto resources = predicate->find("resources");
        if (resources == predicate->end() || !resources->is_array()) return bad("resources is missing");
        Sha256 root;
        std::set<std::string> names;
        for (const Json& r : *resources) {
            Resource one;
            TENPAK_ASSIGN(one.name, json_get<std::string>(r, "name", where));
            TENPAK_ASSIGN(const std::string algorithm, json_get<std::string>(r, "algorithm", where));
            TENPAK_ASSIGN(const std::string hex, json_get<std::string>(r, "digest", where));
            const auto digest = digest_from_hex(hex);
            if (algorithm != "sha256" || !digest) return bad("a resource has no SHA-256");
            if (!check_relative_path(one.name).ok()) return bad("a resource's name is no relative path");
            if (!names.insert(one.name).second) return bad("a resource is listed twice");
            one.sha256 = *digest;
            root.update(std::as_bytes(std::span(one.sha256)));
            s.resources.push_back(std::move(one));
        }
        if (to_hex(root.finish()) != root_hex) return bad("its root digest does not fit its resources");
        return s;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for a statement", where);
    } catch (const std::exception& e) {
        return bad(e.what());
    }
}

}  // namespace tenpak::signing
