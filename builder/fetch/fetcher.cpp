#include "fetch/fetcher.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"

namespace slipway::fetch {
namespace {

std::string own_folder() {
  std::error_code problem;
  const fs::path self = fs::read_symlink("/proc/self/exe", problem);
  return problem ? std::string() : self.parent_path().string();
}
// Read at start: a file replaced by an update later would answer with another name.
const std::string program_folder = own_folder();

constexpr size_t line_max = 1 << 20;

Fd nameless_file(const std::string& folder) {
  const std::string where = folder.empty() ? fs::temp_directory_path().string() : folder;
  Fd file(open(where.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
    fail_errno("create a temporary file in {}", where);
  // A filesystem without O_TMPFILE.
  std::string name = where + "/fetch-XXXXXX";
  file = Fd(mkostemp(name.data(), O_CLOEXEC));
  if (!file) fail_errno("create a temporary file in {}", where);
  if (unlink(name.c_str()) != 0) fail_errno("unlink {}", name);
  return file;
}

/// One run of slipway-fetch.
class Call {
 public:
  explicit Call(const Fetcher& fetcher) : fetcher_(fetcher) {}

  /// The result object; throws the error the program reports.
  Json run(const Json& request, int output) {
    start(request, output);
    std::string pending;
    while (out_ || err_) {
      if (fetcher_.cancel != nullptr) fetcher_.cancel->check();
      pollfd polls[3] = {{out_.get(), POLLIN, 0},
                         {err_.get(), POLLIN, 0},
                         {fetcher_.cancel != nullptr ? fetcher_.cancel->fd() : -1, POLLIN, 0}};
      if (poll(polls, 3, -1) < 0 && errno != EINTR) fail_errno("poll");
      if (polls[1].revents != 0) take(err_, complaint_);
      if (polls[0].revents == 0) continue;
      take(out_, pending);
      for (size_t end; (end = pending.find('\n')) != std::string::npos;) {
        const std::string line = pending.substr(0, end);
        pending.erase(0, end + 1);
        understand(line);
      }
      if (pending.size() > line_max) fail(ExitCode::machine, "slipway-fetch answers without end");
    }
    const ExitStatus status = child_.wait();
    if (error_) throw Error(*error_);
    if (!status.ok() || result_.is_null())
      fail(ExitCode::machine, "slipway-fetch ended without an answer ({}){}{}", status.to_string(),
           complaint_.empty() ? "" : ": ", trim(complaint_));
    return std::move(result_);
  }

 private:
  void start(const Json& request, int output) {
    SpawnOptions options;
    const std::string program =
        fetcher_.program.empty() ? program_folder + "/slipway-fetch" : fetcher_.program;
    options.argv = {program};
    // A file, not a pipe: a program that dies early must not kill us with SIGPIPE.
    const Fd question(memfd_create("slipway-fetch-request", MFD_CLOEXEC));
    if (!question) fail_errno("memfd_create");
    write_all(question.get(), dump_json(request) + "\n");
    if (lseek(question.get(), 0, SEEK_SET) != 0) fail_errno("rewind a request");
    Pipe out = Pipe::create(), err = Pipe::create();
    options.stdin_fd = question.get();
    options.stdout_fd = out.write.get();
    options.stderr_fd = err.write.get();
    if (output >= 0) options.keep_fds = {output};
    try {
      child_ = spawn(options);
    } catch (Error& error) {
      throw error.set_hint("slipway-fetch belongs beside the slipway program; install both");
    }
    out_ = std::move(out.read);
    err_ = std::move(err.read);
  }

  static void take(Fd& from, std::string& into) {
    char buffer[16384];
    const size_t count = read_some(from.get(), buffer, sizeof buffer);
    if (count == 0) from.reset();
    if (into.size() < 2 * line_max) into.append(buffer, count);
  }

  void understand(const std::string& line) {
    Json message = parse_json(line, "slipway-fetch", static_cast<int>(ExitCode::machine));
    try {
      if (message.contains("progress")) {
        const Json& progress = message["progress"];
        if (fetcher_.on_progress)
          fetcher_.on_progress(progress.at("what"), progress.at("done"), progress.at("total"));
      } else if (message.contains("error")) {
        const Json& error = message["error"];
        error_.emplace(static_cast<ExitCode>(error.at("code").get<int>()),
                       error.at("cause").get<std::string>());
        const std::string hint = error.at("hint");
        if (!hint.empty()) error_->set_hint(hint);
        for (const auto& context : error.at("context")) error_->add_context(context);
      } else if (message.contains("result")) {
        result_ = std::move(message["result"]);
      }
    } catch (const Json::exception& problem) {
      fail(ExitCode::machine, "slipway-fetch answers oddly: {}", problem.what());
    }
  }

  const Fetcher& fetcher_;
  Child child_;
  Fd out_, err_;
  std::string complaint_;
  Json result_;
  std::optional<Error> error_;
};

Fd rewound(Fd file) {
  if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("rewind a download");
  return file;
}

template <typename Value>
Value field(const Json& result, const char* name) {
  try {
    return result.at(name).get<Value>();
  } catch (const Json::exception& problem) {
    fail(ExitCode::machine, "slipway-fetch answers oddly: {}", problem.what());
  }
}

std::string checked_commit(const Json& result) {
  std::string commit = field<std::string>(result, "commit");
  const bool hex = commit.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!hex || (commit.size() != 40 && commit.size() != 64))
    fail(ExitCode::machine, "slipway-fetch answers oddly: '{}' is no commit", printable(commit));
  return commit;
}

}  // namespace

std::string Fetcher::git_resolve(const std::string& url, const std::string& ref) const {
  const TempDir scratch = TempDir::create("git", temp_dir);
  const Json request = {{"op", "git_resolve"},
                        {"url", url},
                        {"ref", ref},
                        {"scratch", fs::absolute(scratch.path()).string()}};
  return checked_commit(Call(*this).run(request, -1));
}

GitResult Fetcher::git(const GitRequest& request) const {
  // Made here, so that it goes even when the program is killed.
  const TempDir scratch = TempDir::create("git", temp_dir);
  Fd tar = nameless_file(temp_dir);
  const Json message = {{"op", "git"},
                        {"url", request.url},
                        {"ref", request.ref},
                        {"subdir", request.subdir},
                        {"submodules", request.submodules},
                        {"keep_git_dir", request.keep_git_dir},
                        {"commit", request.commit},
                        {"scratch", fs::absolute(scratch.path()).string()},
                        {"output", tar.get()}};
  const Json result = Call(*this).run(message, tar.get());
  GitResult answer;
  answer.commit = checked_commit(result);
  answer.commit_time = field<int64_t>(result, "commit_time");
  answer.tar = rewound(std::move(tar));
  return answer;
}

HttpResult Fetcher::http(const HttpRequest& request) const {
  Fd body = nameless_file(temp_dir);
  const Json message = {{"op", "http"},
                        {"url", request.url},
                        {"checksum", request.checksum},
                        {"size_max_bytes", request.size_max_bytes},
                        {"retries", request.retries},
                        {"retry_delay_ms", request.retry_delay.count()},
                        {"stall_limit_s", request.stall_limit.count()},
                        {"output", body.get()}};
  const Json result = Call(*this).run(message, body.get());
  HttpResult answer;
  answer.sha256 = field<std::string>(result, "sha256");
  answer.size_bytes = field<uint64_t>(result, "size_bytes");
  answer.final_url = field<std::string>(result, "final_url");
  answer.etag = field<std::string>(result, "etag");
  answer.body = rewound(std::move(body));
  return answer;
}

}  // namespace slipway::fetch
