// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>

#include "app/cli/command.h"

namespace tenpak::cli {

void print_result(const Context& ctx, const OrderedJson& json, const std::string& text) {
    const std::string out = ctx.json ? json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) : text;
    std::fwrite(out.data(), 1, out.size(), stdout);
    if (out.empty() || out.back() != '\n') std::fputc('\n', stdout);
    std::fflush(stdout);
}

int print_error(const Context& ctx, const Error& error) {
    std::fprintf(stderr, "tenpak: error[%s]: %s\n", error_code_name(error.code), error.text().c_str());
    if (ctx.json) {
        const OrderedJson j = {{"error", {{"code", error_code_name(error.code)}, {"message", error.what}, {"where", error.where}, {"hint", error.hint}}}};
        print_result(ctx, j, {});
    }
    return exit_code(error.code);
}

void print_note(const Context& ctx, const std::string& line) {
    if (!ctx.quiet) std::fprintf(stderr, "%s\n", line.c_str());
}

std::string format_bytes(double bytes) {
    const char* unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    int u = 0;
    while (std::fabs(bytes) >= 999.5 && u < 5) {
        bytes /= 1000;
        ++u;
    }
    char s[64];
    if (u == 0) std::snprintf(s, sizeof s, "%.0f B", bytes);
    else std::snprintf(s, sizeof s, "%.*f %s", bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0, bytes, unit[u]);
    return s;
}

std::string format_duration(double seconds) {
    char s[64];
    if (seconds < 1) std::snprintf(s, sizeof s, "%.0f ms", seconds * 1000);
    else if (seconds < 60) std::snprintf(s, sizeof s, "%.1f s", seconds);
    else std::snprintf(s, sizeof s, "%.0f min", std::round(seconds / 60));
    return s;
}

std::string format_percent(double fraction) {
    char s[64];
    std::snprintf(s, sizeof s, "%.1f %%", fraction * 100);
    return s;
}

}  // namespace tenpak::cli
