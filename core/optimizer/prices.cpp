// SPDX-License-Identifier: Apache-2.0
#include "core/optimizer/prices.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "core/base/file.h"
#include "core/base/json.h"

namespace tenpak::optimizer {
namespace {

using Days = std::chrono::sys_days;

// Strict YYYY-MM-DD.
std::optional<Days> parse_date(const std::string& s) {
    if (s.size() != 10 || s[4] != '-' || s[7] != '-') return std::nullopt;
    for (const std::size_t i : {0u, 1u, 2u, 3u, 5u, 6u, 8u, 9u}) {
        if (s[i] < '0' || s[i] > '9') return std::nullopt;
    }
    const std::chrono::year_month_day d(std::chrono::year(std::stoi(s.substr(0, 4))),
                                        std::chrono::month(static_cast<unsigned>(std::stoi(s.substr(5, 2)))),
                                        std::chrono::day(static_cast<unsigned>(std::stoi(s.substr(8, 2)))));
    if (!d.ok()) return std::nullopt;
    return Days(d);
}

constexpr std::size_t kMaxRows = 10'000, kMaxText = 200;

Result<HardwarePrice> parse_row(const Json& row, const std::string& where) {
    HardwarePrice p;
    TENPAK_ASSIGN(p.id, json_get<std::string>(row, "id", where));
    const std::string at = where + ", row \"" + p.id.substr(0, kMaxText) + "\"";
    TENPAK_ASSIGN(p.name, json_get<std::string>(row, "name", at));
    TENPAK_ASSIGN(p.usd_per_hour, json_get<double>(row, "usd_per_hour", at));
    TENPAK_ASSIGN(p.source, json_get<std::string>(row, "source", at));
    TENPAK_ASSIGN(p.date, json_get<std::string>(row, "date", at));
    if (row.contains("local")) {
        TENPAK_ASSIGN(p.local, json_get<bool>(row, "local", at));
    }
    const auto bad = [&](const char* why) { return make_error(ErrorCode::kMalformed, why, at, "Correct the hardware price table"); };
    if (p.id.empty() || p.id.size() > kMaxText || p.name.empty() || p.name.size() > kMaxText) return bad("id and name must have 1 to 200 bytes");
    if (!std::isfinite(p.usd_per_hour) || p.usd_per_hour < 0 || p.usd_per_hour > 1e6) return bad("\"usd_per_hour\" must be between 0 and 1000000");
    if (p.source.empty()) return bad("\"source\" must say who names the price");
    if (!parse_date(p.date)) return bad("\"date\" must be a day as YYYY-MM-DD");
    return p;
}

}  // namespace

Result<std::vector<HardwarePrice>> load_prices(const std::string& json_text, const std::string& where) {
    TENPAK_ASSIGN(const Json doc, parse_json(json_text, where, {.max_bytes = 4'000'000, .max_depth = 8}));
    TENPAK_ASSIGN(const Json rows, json_get<Json>(doc, "hardware", where));
    if (!rows.is_array() || rows.size() > kMaxRows) {
        return make_error(ErrorCode::kMalformed, "\"hardware\" must be an array of at most 10000 rows", where);
    }
    std::vector<HardwarePrice> out;
    for (const Json& row : rows) {
        TENPAK_ASSIGN(HardwarePrice p, parse_row(row, where));
        for (const HardwarePrice& q : out) {
            if (q.id == p.id) return make_error(ErrorCode::kMalformed, "the id \"" + p.id + "\" is given twice", where);
        }
        out.push_back(std::move(p));
    }
    return out;
}

bool price_is_stale(const HardwarePrice& p, const std::string& today) {
    const auto priced = parse_date(p.date), now = parse_date(today);
    return !priced || !now || *now - *priced > std::chrono::days(90);
}

std::filesystem::path user_price_file() {
    if (const char* c = std::getenv("XDG_CONFIG_HOME"); c != nullptr && c[0] == '/') return std::filesystem::path(c) / "tenpak" / "hardware.json";
    if (const char* h = std::getenv("HOME"); h != nullptr && h[0] == '/') return std::filesystem::path(h) / ".config" / "tenpak" / "hardware.json";
    return {};
}

Result<std::vector<HardwarePrice>> load_price_table(const std::filesystem::path& user_file) {
    TENPAK_ASSIGN(std::vector<HardwarePrice> table, load_prices(builtin_price_table(), "built-in price table"));
    std::error_code ec;
    if (user_file.empty() || !std::filesystem::exists(user_file, ec)) return table;
    TENPAK_ASSIGN(const std::string text, read_text_file(user_file, 4'000'000));
    TENPAK_ASSIGN(std::vector<HardwarePrice> own, load_prices(text, user_file.string()));
    bool own_local = false;
    for (const HardwarePrice& p : own) own_local |= p.local;
    for (HardwarePrice& t : table) t.local = t.local && !own_local;
    for (HardwarePrice& p : own) {
        bool replaced = false;
        for (HardwarePrice& t : table) {
            if (t.id != p.id) continue;
            t = p;
            replaced = true;
        }
        if (!replaced) table.push_back(std::move(p));
    }
    return table;
}

Result<HardwarePrice> find_price(const std::vector<HardwarePrice>& table, const std::string& id) {
    std::string known;
    for (const HardwarePrice& p : table) {
        if (id.empty() ? p.local : p.id == id) return p;
        known += (known.empty() ? "" : ", ") + p.id;
    }
    if (id.empty()) return make_error(ErrorCode::kNotFound, "the price table has no row with \"local\": true", {}, "Name one with --hardware: " + known);
    return make_error(ErrorCode::kInvalidArgument, "no hardware \"" + id + "\" in the price table", {}, "Known: " + known);
}

std::string today_utc() {
    const std::time_t now = std::time(nullptr);
    std::tm t{};
    gmtime_r(&now, &t);
    char s[32];
    std::snprintf(s, sizeof s, "%04d-%02d-%02d", (t.tm_year + 1900) % 10000, t.tm_mon + 1, t.tm_mday);
    return s;
}

}  // namespace tenpak::optimizer
