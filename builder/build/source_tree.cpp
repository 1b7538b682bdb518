#include "build/source_tree.h"

#include <sys/stat.h>
#include <unistd.h>

#include "archive/extract.h"
#include "base/error.h"
#include "base/text.h"
#include "sandbox/unpack_action.h"

namespace slipway::build {
namespace {

constexpr size_t dockerfile_bytes_max = 16 << 20;

bool is_tarball(const fs::path& path) {
  const std::string name = path.filename().string();
  for (const char* ending : {".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2", ".zip"})
    if (ends_with(name, ending)) return true;
  return false;
}

bool is_url(const std::string& source) {
  const size_t scheme = source.find("://");
  if (scheme != std::string::npos && scheme > 0)
    return source.find_first_not_of("abcdefghijklmnopqrstuvwxyz+", 0) == scheme;
  // user@host:path
  const size_t at = source.find('@'), colon = source.find(':');
  return at != std::string::npos && colon != std::string::npos && at < colon &&
         source.find('/') > at;
}

// A repository without a work tree: HEAD, objects/ and refs/ at the top.
bool is_bare_repository(const fs::path& folder) {
  return fs::is_regular_file(folder / "HEAD") && fs::is_directory(folder / "objects") &&
         fs::is_directory(folder / "refs");
}

SourceTree unpack(int tar, SourceTree tree, bool strip_wrapper) {
  tree.temporary.emplace(TempDir::create("slipway-source"));
  tree.folder = tree.temporary->path() / "app";
  make_directories(tree.folder, 0700);
  const Fd target = open_file(tree.folder.string(), O_RDONLY | O_DIRECTORY);
  archive::ExtractOptions options;
  options.keep_owner = false;
  (void)archive::extract(tar, target.get(), options);
  if (strip_wrapper) {
    // SLUG-7: source tarballs have one wrapping folder, which goes.
    const std::vector<std::string> names = list_directory(target.get());
    if (names.size() == 1 && fs::is_directory(fs::symlink_status(tree.folder / names[0])))
      tree.folder /= names[0];
  }
  return tree;
}

// An archive's first bytes decide, so it is kept until its end is there.
SourceTree from_stdin() {
  if (isatty(STDIN_FILENO) != 0)
    throw Error(ExitCode::usage, "the source is to come on stdin, which is a terminal")
        .set_hint("tar -c . | slipway build -, or slipway build - <Dockerfile");
  SourceTree tree;
  tree.identity = stdin_source;
  tree.naming = "stdin";
  const TempDir spool = TempDir::create("slipway-stdin");
  const Fd file = open_file((spool.path() / "source").string(), O_RDWR | O_CREAT | O_EXCL, 0600);
  (void)copy_bytes(STDIN_FILENO, file.get(), UINT64_MAX);
  if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("read stdin again");
  const bool archive = sandbox::is_archive(file.get());
  if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("read stdin again");
  if (archive) {
    try {
      return unpack(file.get(), std::move(tree), false);
    } catch (Error& error) {
      throw error.add_context("unpacking stdin");
    }
  }
  tree.dockerfile = read_all(file.get(), dockerfile_bytes_max);
  tree.temporary.emplace(TempDir::create("slipway-source"));
  tree.folder = tree.temporary->path() / "app";
  make_directories(tree.folder, 0700);
  return tree;
}

SourceTree from_git(const std::string& url, const std::string& ref, const fetch::Fetcher& fetcher) {
  fetch::GitRequest request;
  request.url = url;
  request.ref = ref;
  const fetch::GitResult got = fetcher.git(request);
  SourceTree tree;
  tree.identity = tree.naming = fetch::public_url(url);
  tree.commit = got.commit;
  tree.commit_time = got.commit_time;
  return unpack(got.tar.get(), std::move(tree), false);
}

}  // namespace

SourceTree bring_source(const std::string& source, const fetch::Fetcher& fetcher,
                        report::Stream& stream) {
  if (source == stdin_source) return from_stdin();
  SourceTree tree;
  std::error_code problem;
  if (fs::is_directory(source, problem) && !is_bare_repository(source)) {
    tree.folder = fs::canonical(source);
    tree.identity = tree.naming = tree.folder.string();
    return tree;
  }
  if (fs::is_regular_file(source, problem)) {
    if (!is_tarball(source))
      throw Error(ExitCode::usage, fmt::format("{} is a file, but not an archive", source))
          .set_hint("give a folder, a .tar.gz or a git URL");
    tree.identity = tree.naming = fs::canonical(source).string();
    const Fd archive = open_file(source, O_RDONLY);
    try {
      return unpack(archive.get(), std::move(tree), true);
    } catch (Error& error) {
      throw error.add_context("unpacking " + source);
    }
  }
  const size_t hash = source.find('#');
  const std::string place = source.substr(0, hash);
  const std::string ref = hash == std::string::npos ? "" : source.substr(hash + 1);
  if (fs::is_directory(place, problem)) {
    stream.plain("Fetching " + source);
    return from_git(fs::canonical(place).string(), ref, fetcher);
  }
  if (!is_url(place))
    throw Error(ExitCode::usage, fmt::format("there is no folder or archive '{}'", source))
        .set_hint(
            "the source is a folder, a .tar.gz, a git URL with #ref, a bare repository, or - for "
            "stdin");
  stream.plain("Fetching " + fetch::public_url(source));
  if ((starts_with(place, "http://") || starts_with(place, "https://")) &&
      is_tarball(place.substr(0, place.find('?')))) {
    fetch::HttpRequest request;
    request.url = place;
    const fetch::HttpResult got = fetcher.http(request);
    tree.identity = tree.naming = fetch::public_url(place);
    return unpack(got.body.get(), std::move(tree), true);
  }
  return from_git(place, ref, fetcher);
}

std::optional<std::string> read_app_file(const fs::path& folder, const std::string& name,
                                         size_t size_max_bytes) {
  const Fd root = open_file(folder.string(), O_RDONLY | O_DIRECTORY);
  // O_NONBLOCK: a FIFO of that name must not hang us.
  const Fd file = try_open_beneath(root.get(), name, O_RDONLY | O_NONBLOCK);
  if (!file) {
    const int problem = errno;
    if (problem == ENOENT || problem == ENOTDIR) return std::nullopt;
    if (problem == EXDEV || problem == ELOOP)
      throw Error(ExitCode::app_files, "a link that leaves the app")
          .set_pos({name})
          .set_hint("make it a file, or a link to one inside the app");
    fail_errno_text(problem, "open " + (folder / name).string());
  }
  struct stat info {};
  if (fstat(file.get(), &info) != 0) fail_errno("stat {}", name);
  if (!S_ISREG(info.st_mode))
    throw Error(ExitCode::app_files, fmt::format("{} is not a regular file", name));
  try {
    return read_all(file.get(), size_max_bytes);
  } catch (Error& error) {
    throw error.add_context(name);
  }
}

int64_t source_time(std::optional<int64_t> asked_for, const SourceTree& source,
                    const Digest& content) {
  if (asked_for) return std::max<int64_t>(1, *asked_for);
  if (source.commit_time) return std::max<int64_t>(1, *source.commit_time);
  uint64_t number = 0;
  for (size_t i = 0; i < 6; ++i) number = number << 8 | content.bytes[i];
  return 1'000'000'000 + static_cast<int64_t>(number % 500'000'000);
}

}  // namespace slipway::build
