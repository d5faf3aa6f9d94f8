// SPDX-License-Identifier: Apache-2.0
// A folder of its own for one test, removed at the end; and where the sources and the shared data are.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

namespace tenpak::test {

class TempDir {
   public:
    TempDir() {
        std::random_device rd;
        path_ = std::filesystem::temp_directory_path() / ("tenpak-test-" + std::to_string(rd()) + std::to_string(rd()));
        std::filesystem::create_directories(path_);
    }
    ~TempDir() {
        std::error_code ec;
        std::filesystem::remove_all(path_, ec);
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
    std::filesystem::path write(const std::string& name, const std::string& content) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary) << content;
        return path_ / name;
    }

   private:
    std::filesystem::path path_;
};

inline std::filesystem::path source_dir() { return TENPAK_SOURCE_DIR; }  ///< the repository's root
inline std::filesystem::path bin_dir() { return TENPAK_BIN_DIR; }        ///< where the built programs are
/// Data that is not part of the repository; tests GTEST_SKIP() loudly where it is absent.
inline std::filesystem::path shared_data() {
    if (const char* d = std::getenv("TENPAK_SHARED_DATA")) return d;
    return source_dir() / ".." / "shared" / "data";
}
inline std::filesystem::path sample_dir() { return source_dir() / "resources" / "sample"; }

}  // namespace tenpak::test
