// SPDX-License-Identifier: Apache-2.0
// Holds the architecture: no Qt in core/, QtCharts only in ui/charts/, includes point downwards only (design section 2).
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>

#include "tests/support/temp_dir.h"

namespace fs = std::filesystem;

namespace {

// Folder -> the folders it may include, besides itself.
const std::map<std::string, std::vector<std::string>> kArrows = {
    {"core/base", {}},
    {"core/tensor", {"core/base"}},
    {"core/compute", {"core/tensor", "core/base"}},
    {"core/model", {"core/compute", "core/tensor", "core/base"}},
    {"core/delta", {"core/compute", "core/tensor", "core/base"}},
    {"core/quant", {"core/model", "core/compute", "core/tensor", "core/base"}},
    {"core/evaluate", {"core/quant", "core/model", "core/compute", "core/tensor", "core/base"}},
    {"core/optimizer", {"core/base"}},
    {"core/jobs", {"core/optimizer", "core/evaluate", "core/quant", "core/delta", "core/model", "core/compute", "core/tensor", "core/base"}},
    {"core/artifact", {"core/delta", "core/quant", "core/model", "core/compute", "core/tensor", "core/base"}},
    {"core/archive", {"core/artifact", "core/delta", "core/tensor", "core/base"}},
    {"core/signing", {"core/artifact", "core/delta", "core/tensor", "core/base"}},
    {"core/hub", {"core/base"}},
    {"core/serving", {"core/hub", "core/evaluate", "core/model", "core/quant", "core/compute", "core/tensor", "core/base"}},
    {"app", {"core"}},
    {"ui", {"app", "core"}},
};

std::string folder_of(const std::string& path) {
    const auto parts = fs::path(path);
    auto it = parts.begin();
    std::string f = it->string();
    if (f == "core" && ++it != parts.end()) f += "/" + it->string();
    return f;
}

TEST(Arrows, IncludesPointDownwards) {
    const fs::path root = tenpak::test::source_dir();
    const std::regex include(R"(^\s*#\s*include\s*[<"]([^">]+)[">])");
    int files = 0, project_includes = 0;
    for (const char* top : {"core", "app", "ui"}) {
        for (const auto& e : fs::recursive_directory_iterator(root / top)) {
            const std::string ext = e.path().extension().string();
            if (ext != ".h" && ext != ".cpp" && ext != ".cu" && ext != ".cuh" && ext != ".inc") continue;
            ++files;
            const std::string rel = fs::relative(e.path(), root).string();
            const std::string from = folder_of(rel);
            std::ifstream in(e.path());
            std::string line;
            while (std::getline(in, line)) {
                std::smatch m;
                if (!std::regex_search(line, m, include)) continue;
                const std::string target = m[1];
                if (from.starts_with("core/")) {
                    EXPECT_FALSE(target.starts_with("Q") && target.find('/') == std::string::npos) << rel << ": Qt in core: " << target;
                    EXPECT_FALSE(target.starts_with("Qt")) << rel << ": Qt in core: " << target;
                }
                if (target.starts_with("QtCharts") || target.starts_with("QChart") || target.starts_with("QtCharts/")) {
                    EXPECT_TRUE(rel.starts_with("ui/charts/")) << rel << " uses QtCharts outside ui/charts/";
                }
                if (from == "app") {
                    EXPECT_FALSE(target.starts_with("QtWidgets") || target == "QWidget") << rel << ": widgets in app/";
                }
                if (!target.starts_with("core/") && !target.starts_with("app/") && !target.starts_with("ui/")) continue;
                ++project_includes;
                const std::string to = folder_of(target);
                if (to == from) continue;
                if (rel.starts_with("app/studio/")) continue;  // the composition root sees everything
                const auto rule = kArrows.find(from);
                ASSERT_NE(rule, kArrows.end()) << "no rule for folder " << from;
                bool allowed = false;
                for (const auto& a : rule->second) allowed |= to == a || to.starts_with(a + "/") || (a == "core" && to.starts_with("core/"));
                EXPECT_TRUE(allowed) << rel << " must not include " << target;
            }
        }
    }
    EXPECT_GT(files, 10);
    EXPECT_GT(project_includes, 10);
}

TEST(Arrows, EverySourceHasALicence) {
    const fs::path root = tenpak::test::source_dir();
    for (const char* top : {"core", "app", "ui", "tests", "cmake", "packaging"}) {
        for (const auto& e : fs::recursive_directory_iterator(root / top)) {
            if (!e.is_regular_file()) continue;
            const std::string ext = e.path().extension().string(), name = e.path().filename().string();
            if (ext != ".h" && ext != ".cpp" && ext != ".cu" && ext != ".cuh" && ext != ".inc" && ext != ".py" && ext != ".sh" && ext != ".cmake" && name != "CMakeLists.txt") continue;
            std::ifstream in(e.path());
            std::string head, line;
            for (int i = 0; i < 4 && std::getline(in, line); ++i) head += line + "\n";
            const std::string rel = fs::relative(e.path(), root).string();
            EXPECT_NE(head.find("SPDX-License-Identifier:"), std::string::npos) << rel;
            if (rel.starts_with("ui/")) {
                EXPECT_NE(head.find("GPL-3.0-or-later"), std::string::npos) << rel;
            }
            if (rel.starts_with("core/")) {
                EXPECT_NE(head.find("Apache-2.0"), std::string::npos) << rel;
            }
        }
    }
}

}  // namespace
