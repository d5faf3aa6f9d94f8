// SPDX-License-Identifier: Apache-2.0
#include "core/quant/mixed/sensitivity_file.h"

#include <cmath>

#include "core/base/file.h"
#include "core/base/json.h"

namespace tenpak::quant {
namespace {

constexpr std::uint64_t kVersion = 1;

Json option_names(const Sensitivity& s) {
    Json names = Json::array();
    for (const FormatOption& o : s.options) names.push_back(o.name);
    return names;
}

/// Reads fields one after the other; the first that is wrong is remembered and what follows is empty.
class Reader {
   public:
    explicit Reader(std::string where) : where_(std::move(where)) {}
    template <class T>
    T get(const Json& from, const char* key) {
        auto v = json_get<T>(from, key, where_);
        if (v.ok()) return std::move(*v);
        if (!error_) error_ = v.error();
        return T{};
    }
    const Json& array(const Json& from, const char* key) {
        static const Json none = Json::array();
        const auto it = from.is_object() ? from.find(key) : from.end();
        if (from.is_object() && it != from.end() && it->is_array()) return *it;
        fail(std::string("\"") + key + "\" must be a list");
        return none;
    }
    std::string text(const Json& j) {
        if (j.is_string()) return j.get<std::string>();
        fail("a text is expected");
        return {};
    }
    double number(const Json& j) {
        if (j.is_number() && std::isfinite(j.get<double>()) && j.get<double>() >= 0) return j.get<double>();
        fail("a number from 0 on is expected");
        return 0;
    }
    std::uint64_t whole(const Json& j) {
        if (j.is_number_unsigned() && j.get<std::uint64_t>() < std::uint64_t{1} << 53) return j.get<std::uint64_t>();
        fail("a whole number below 2^53 is expected");
        return 0;
    }
    void fail(const std::string& why) {
        if (!error_) error_ = make_error(ErrorCode::kMalformed, why, where_, "Delete the file: it is measured again");
    }
    Status status() const { return error_ ? Status(*error_) : Status(); }

   private:
    std::string where_;
    std::optional<Error> error_;
};

void read_unit(Reader& r, const Json& j, Sensitivity& s) {
    MixedUnit u;
    u.layer = r.get<std::uint32_t>(j, "layer");
    u.kind = r.get<std::uint32_t>(j, "kind");
    u.columns = r.get<std::uint32_t>(j, "columns");
    u.weights = r.whole(r.get<Json>(j, "weights"));
    for (const Json& name : r.array(j, "names")) u.names.push_back(r.text(name));
    std::vector<double> errors;
    for (const Json& e : r.array(j, "errors")) errors.push_back(r.number(e));
    std::vector<Choice> choices;
    for (const Json& b : r.array(j, "bytes")) choices.push_back({r.whole(b), 0});
    const Json& losses = r.array(j, "losses");
    if (errors.size() != s.options.size() || choices.size() != s.options.size() || losses.size() != s.options.size()) return r.fail("a unit has another number of formats");
    for (std::size_t o = 0; o < choices.size(); ++o) choices[o].loss = r.number(losses[o]);
    s.units.push_back(std::move(u));
    s.errors.push_back(std::move(errors));
    s.choices.push_back(std::move(choices));
}

void read_probe(Reader& r, const Json& j, Sensitivity& s) {
    ProbeRecord p;
    p.what = r.get<std::string>(j, "what");
    p.measured = {r.get<double>(j, "kl"), r.get<double>(j, "nll")};
    p.predicted = r.get<double>(j, "predicted");
    p.fitted = r.get<bool>(j, "fitted");
    for (const Json& u : r.array(j, "units")) {
        p.units.push_back(static_cast<std::uint32_t>(r.whole(u)));
        if (p.units.back() >= s.units.size()) return r.fail("a probe of a unit that is not there");
    }
    s.probes.push_back(std::move(p));
}

}  // namespace

Status save_sensitivity(const fs::path& path, const Sensitivity& s, const std::string& fingerprint) {
    Json units = Json::array(), probes = Json::array();
    for (std::size_t u = 0; u < s.units.size(); ++u) {
        Json bytes = Json::array(), losses = Json::array();
        for (const Choice& c : s.choices[u]) {
            bytes.push_back(c.bytes);
            losses.push_back(c.loss);
        }
        units.push_back({{"layer", s.units[u].layer}, {"kind", s.units[u].kind}, {"columns", s.units[u].columns}, {"weights", s.units[u].weights}, {"names", s.units[u].names},
                         {"errors", s.errors[u]}, {"bytes", std::move(bytes)}, {"losses", std::move(losses)}});
    }
    for (const ProbeRecord& p : s.probes) {
        probes.push_back({{"what", p.what}, {"units", p.units}, {"kl", p.measured.kl}, {"nll", p.measured.nll}, {"predicted", p.predicted}, {"fitted", p.fitted}});
    }
    const Json j = {{"version", kVersion}, {"fingerprint", fingerprint}, {"options", option_names(s)}, {"units", std::move(units)}, {"probes", std::move(probes)}, {"notes", s.notes}};
    return write_file_atomic(path, as_bytes(canonical_json(j)));
}

Result<Sensitivity> load_sensitivity(const fs::path& path, const std::string& fingerprint) {
    TENPAK_ASSIGN(const std::string text, read_text_file(path));
    TENPAK_ASSIGN(const Json j, parse_json(text, path.string()));
    Sensitivity s;
    s.options = mixed_options();
    Reader r(path.string());
    const bool same = r.get<std::uint64_t>(j, "version") == kVersion && r.get<std::string>(j, "fingerprint") == fingerprint && r.array(j, "options") == option_names(s);
    TENPAK_RETURN_IF_ERROR(r.status());
    if (!same) return make_error(ErrorCode::kMismatch, "sensitivities of another model, calibration or version", path.string());
    for (const Json& unit : r.array(j, "units")) read_unit(r, unit, s);
    for (const Json& probe : r.array(j, "probes")) read_probe(r, probe, s);
    for (const Json& note : r.array(j, "notes")) s.notes.push_back(r.text(note));
    TENPAK_RETURN_IF_ERROR(r.status());
    return s;
}

}  // namespace tenpak::quant
