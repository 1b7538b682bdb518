// Runs a fuzz target without libFuzzer: every file of the given folders, then mutations of them
// from a fixed seed, so that a failure repeats. Before each run the input is written to
// $FUZZ_CRASH_FILE (when set), where it stays if the target dies.
//
//   fuzz_procfile [--mutations N] FOLDER…
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void run(const std::string& input) {
  static const char* const crash_file = std::getenv("FUZZ_CRASH_FILE");
  if (crash_file != nullptr) std::ofstream(crash_file, std::ios::binary) << input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>& seeds) : seeds_(seeds) {}

  std::string next() {
    std::string text = seeds_[below(seeds_.size())];
    for (size_t count = 1 + below(4); count > 0; --count) change(text);
    return text;
  }

 private:
  size_t below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void change(std::string& text) {
    const size_t at = below(text.size() + 1);
    const size_t size = std::min(below(16), text.size() - at);
    const std::string& other = seeds_[below(seeds_.size())];
    switch (below(6)) {
      case 0:
        text.insert(at, 1, static_cast<char>(below(256)));
        break;
      case 1:
        text.erase(at, size);
        break;
      case 2:
        text.insert(at, text.substr(at, size));
        break;
      case 3:
        text.insert(at, other.substr(below(other.size()), below(32)));
        break;
      case 4:
        text.insert(at, below(200), "{[(,:*/\n"[below(8)]);
        break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
    }
  }

  const std::vector<std::string>& seeds_;
  std::mt19937 random_{20'240'229};
};

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> seeds;
  long mutations = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--mutations" && i + 1 < argc) {
      mutations = std::atol(argv[++i]);
      continue;
    }
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i]))
      if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& file : files) seeds.push_back(read(file));
  }
  if (seeds.empty()) {
    std::fprintf(stderr, "no seeds; usage: %s [--mutations N] FOLDER…\n", argv[0]);
    return 2;
  }
  run("");
  for (const std::string& seed : seeds) run(seed);
  Mutator mutator(seeds);
  for (long i = 0; i < mutations; ++i) run(mutator.next());
  std::printf("%zu seeds, %ld mutations\n", seeds.size(), mutations);
  return 0;
}
