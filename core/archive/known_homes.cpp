// SPDX-License-Identifier: Apache-2.0
#include "core/archive/known_homes.h"

#include <algorithm>
#include <sstream>

#include "core/archive/journal.h"

namespace tenpak::archive {

std::vector<fs::path> known_homes(const fs::path& file) {
    std::vector<fs::path> homes;
    if (file.empty()) return homes;
    const auto text = read_text_file(file, 16u << 20);
    if (!text.ok()) return homes;
    std::istringstream in(*text);
    std::error_code ec;
    for (std::string line; std::getline(in, line);) {
        const fs::path p(line);
        if (p.is_absolute() && fs::exists(p / kJournalName, ec) && std::find(homes.begin(), homes.end(), p) == homes.end()) homes.push_back(p);
    }
    return homes;
}

Status remember_home(const fs::path& file, const fs::path& home) {
    if (file.empty() || home.string().find('\n') != std::string::npos) return {};
    std::vector<fs::path> homes = known_homes(file);
    if (std::find(homes.begin(), homes.end(), home) != homes.end()) return {};
    homes.push_back(home);
    std::string text;
    for (const fs::path& p : homes) text += p.string() + "\n";
    std::error_code ec;
    fs::create_directories(file.parent_path(), ec);
    return write_file_atomic(file, as_bytes(text));
}

}  // namespace tenpak::archive
