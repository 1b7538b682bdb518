// links: archive
// Image layers over a tree of lower layers that has links in all directions.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/extract.h"
#include "base/files.h"
#include "tar_checksums.h"
#include "target.h"

using namespace slipway;

namespace {

class Below : public archive::LowerTree {
 public:
  explicit Below(int root) : root_(root) {}
  Found find(const std::string& path) override {
    // Only ever asked for real paths inside.
    demand(!path.empty() && path[0] != '/');
    Found found;
    const Fd place = try_open_beneath(root_, path, O_PATH | O_NOFOLLOW);
    struct stat info {};
    if (!place || fstat(place.get(), &info) != 0) return found;
    found.kind = Found::Kind::other;
    if (S_ISDIR(info.st_mode)) {
      found.kind = Found::Kind::directory;
      found.fd = try_open_beneath(root_, path, O_RDONLY | O_DIRECTORY);
    } else if (S_ISREG(info.st_mode)) {
      found.kind = Found::Kind::file;
      found.fd = try_open_beneath(root_, path, O_RDONLY);
    } else if (S_ISLNK(info.st_mode)) {
      char text[4097];
      const ssize_t size = readlinkat(place.get(), "", text, sizeof text);
      demand(size >= 0);
      found.kind = Found::Kind::link;
      found.link.assign(text, static_cast<size_t>(size));
    }
    return found;
  }

 private:
  int root_;
};

// What the names of the corpus meet.
void make_below(const fs::path& root) {
  make_directories(root / "usr/lib");
  make_directories(root / "tmp");
  write_file_atomic(root / "usr/lib/libc", "c");
  write_file_atomic(root / "file", "f");
  for (const auto& [name, text] :
       {std::pair("lib", "usr/lib"), std::pair("abs", "/usr"), std::pair("up", "../../../.."),
        std::pair("loop", "loop"), std::pair("canary", "../canary"), std::pair("to-file", "file")})
    fs::create_symlink(text, root / name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fs::path parent = fs::is_directory("/dev/shm") ? "/dev/shm" : "";
  const TempDir dir = TempDir::create("fuzz-layer", parent);
  write_file_atomic(dir.path() / "canary", "alive");
  make_directories(dir.path() / "target");
  make_below(dir.path() / "below");
  const Fd target = open_file((dir.path() / "target").string(), O_RDONLY | O_DIRECTORY);
  const Fd lower = open_file((dir.path() / "below").string(), O_RDONLY | O_DIRECTORY);
  Below below(lower.get());
  const Fd memory(memfd_create("fuzz", MFD_CLOEXEC));
  write_all(memory.get(), with_tar_checksums(data, size));
  demand(lseek(memory.get(), 0, SEEK_SET) == 0);
  archive::ExtractOptions options;
  options.whiteouts = true;
  options.lower = &below;
  options.keep_owner = false;
  options.size_max_bytes = 1 << 20;
  options.entries_max = 1000;
  options.digests = size % 2 == 1;
  expect_answer(data, size, ExitCode::outside, [&](std::string_view) {
    (void)archive::serialize_tree(archive::extract(memory.get(), target.get(), options));
  });
  demand(read_file(dir.path() / "canary") == "alive");
  demand(read_file(dir.path() / "below/file") == "f");
  demand(read_file(dir.path() / "below/usr/lib/libc") == "c");
  for (const auto& at : fs::directory_iterator(dir.path())) {
    const std::string name = at.path().filename().string();
    demand(name == "canary" || name == "target" || name == "below");
  }
  return 0;
}
