// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "core/optimizer/prices.h"
#include "tests/support/temp_dir.h"

namespace tenpak::optimizer {
namespace {

std::string row(const std::string& fields) {
    return R"({"hardware":[{"id":"x","name":"X",)" + fields + "}]}";
}

TEST(Prices, BuiltInTableIsCompleteAndHasOneLocalDefault) {
    const auto table = load_prices(builtin_price_table(), "built-in");
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_GE(table->size(), 15u);
    EXPECT_EQ(std::count_if(table->begin(), table->end(), [](const HardwarePrice& p) { return p.local; }), 1);
    const auto local = find_price(*table, "");
    ASSERT_TRUE(local.ok());
    EXPECT_DOUBLE_EQ(local->usd_per_hour, 0.067);
    EXPECT_FALSE(local->source.empty());
}

TEST(Prices, StaleAfterNinetyDays) {
    HardwarePrice p;
    p.date = "2026-08-24";
    EXPECT_FALSE(price_is_stale(p, "2026-11-22"));  // 90 days
    EXPECT_TRUE(price_is_stale(p, "2026-11-23"));
    p.date = "nonsense";
    EXPECT_TRUE(price_is_stale(p, "2026-11-22"));
    EXPECT_EQ(today_utc().size(), 10u);
}

TEST(Prices, RefusesBadTables) {
    for (const char* bad : {"", "[]", R"({"hardware":3})", R"({"hardware":[{"id":"x"}]})"}) EXPECT_FALSE(load_prices(bad, "t").ok()) << bad;
    const std::string good = R"("usd_per_hour":1,"source":"s","date":"2026-01-31")";
    ASSERT_TRUE(load_prices(row(good), "t").ok());
    for (const char* bad : {R"("usd_per_hour":-1,"source":"s","date":"2026-01-31")", R"("usd_per_hour":1e9,"source":"s","date":"2026-01-31")",
                            R"("usd_per_hour":"1","source":"s","date":"2026-01-31")", R"("usd_per_hour":1,"source":"","date":"2026-01-31")",
                            R"("usd_per_hour":1,"source":"s","date":"2026-02-30")", R"("usd_per_hour":1,"source":"s","date":"2026-1-31")",
                            R"("usd_per_hour":1,"source":"s")"}) {
        const auto r = load_prices(row(bad), "t");
        ASSERT_FALSE(r.ok()) << bad;
        EXPECT_EQ(r.error().code, ErrorCode::kMalformed);
    }
    EXPECT_FALSE(load_prices(R"({"hardware":[{"id":"x","name":"X",)" + good + R"(},{"id":"x","name":"Y",)" + good + "}]}", "t").ok());
}

TEST(Prices, TheUsersRowsReplaceAndAdd) {
    test::TempDir dir;
    const auto file = dir.write("hardware.json", R"({"hardware":[
        {"id":"l4","name":"Our L4","usd_per_hour":0.2,"source":"contract","date":"2026-11-20"},
        {"id":"mine","name":"Under the desk","usd_per_hour":0.01,"source":"power bill","date":"2026-11-20","local":true}]})");
    const auto table = load_price_table(file);
    ASSERT_TRUE(table.ok()) << table.error().text();
    EXPECT_DOUBLE_EQ(find_price(*table, "l4")->usd_per_hour, 0.2);
    EXPECT_EQ(find_price(*table, "")->id, "mine") << "the user's local row is the default";
    EXPECT_TRUE(load_price_table(dir / "absent.json").ok());
    EXPECT_FALSE(load_price_table(dir.write("bad.json", "{")).ok());
    const auto unknown = find_price(*table, "b200");
    ASSERT_FALSE(unknown.ok());
    EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(unknown.error().text().find("h100-aws"), std::string::npos);
}

}  // namespace
}  // namespace tenpak::optimizer
