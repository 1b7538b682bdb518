// Folder-driven: cases/dockerfile/parse-errors/<name>/Dockerfile must fail with what `expected`
// says. SLIPWAY_ACCEPT=1 writes `expected` anew.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "parse_helpers.h"

using namespace slipway;
using namespace slipway::dockerfile;
namespace fs = std::filesystem;

namespace {

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// As the command line prints it.
std::string printed(const std::string& text) {
  try {
    parse(text, "Dockerfile");
  } catch (const Error& error) {
    return fmt::format("exit {}\nerror: {}\nhint: {}\n", static_cast<int>(error.code()),
                       error.what(), error.hint());
  }
  return "no error\n";
}

}  // namespace

TEST_CASE("parse cases: files that must be refused are, with place and advice") {
  std::set<fs::path> folders;
  for (const auto& entry :
       fs::directory_iterator(fs::path(SLIPWAY_TEST_CASES) / "dockerfile/parse-errors"))
    folders.insert(entry.path());
  REQUIRE(folders.size() > 30);
  for (const fs::path& folder : folders) {
    INFO(folder.filename().string());
    const std::string error = printed(content(folder / "Dockerfile"));
    if (std::getenv("SLIPWAY_ACCEPT") != nullptr)
      std::ofstream(folder / "expected", std::ios::binary) << error;
    CHECK(error == content(folder / "expected"));
    CHECK(error.rfind("exit 4\nerror: Dockerfile:", 0) == 0);
  }
}
