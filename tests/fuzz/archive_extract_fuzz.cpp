// links: archive
#include <sys/mman.h>
#include <unistd.h>

#include "archive/extract.h"
#include "base/files.h"
#include "tar_checksums.h"
#include "target.h"

using namespace slipway;

namespace {

// A target in a folder of its own with a canary beside it; nothing else may appear there.
void check_contained(const fs::path& folder) {
  demand(read_file(folder / "canary") == "alive");
  for (const auto& at : fs::directory_iterator(folder)) {
    const std::string name = at.path().filename().string();
    demand(name == "canary" || name == "target");
  }
}

void check_listing(const archive::Tree& tree, int root) {
  for (const archive::TreeEntry& entry : tree.entries) {
    const Fd file = try_open_beneath(root, entry.path, O_PATH | O_NOFOLLOW);
    demand(static_cast<bool>(file));
    struct stat info {};
    demand(fstat(file.get(), &info) == 0);
    switch (entry.type) {
      case archive::EntryType::file:
        demand(S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) == entry.size);
        break;
      case archive::EntryType::directory:
        demand(S_ISDIR(info.st_mode));
        break;
      case archive::EntryType::symlink:
        demand(S_ISLNK(info.st_mode));
        break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fs::path parent = fs::is_directory("/dev/shm") ? "/dev/shm" : "";
  const TempDir dir = TempDir::create("fuzz-extract", parent);
  write_file_atomic(dir.path() / "canary", "alive");
  make_directories(dir.path() / "target");
  const Fd target = open_file((dir.path() / "target").string(), O_RDONLY | O_DIRECTORY);
  const Fd memory(memfd_create("fuzz", MFD_CLOEXEC));
  write_all(memory.get(), with_tar_checksums(data, size));
  demand(lseek(memory.get(), 0, SEEK_SET) == 0);
  archive::ExtractOptions options;
  options.keep_owner = false;
  options.size_max_bytes = 1 << 20;
  options.entries_max = 1000;
  options.strip_wrapper = size % 2 == 1;
  options.bin_executable = size % 2 == 1;
  expect_answer(data, size, ExitCode::outside, [&](std::string_view) {
    const archive::Tree tree = archive::extract(memory.get(), target.get(), options);
    // Unreadable folders hide their files from ordinary users.
    if (geteuid() == 0) check_listing(tree, target.get());
  });
  check_contained(dir.path());
  return 0;
}
