#include "fetch/call.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
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

}  // namespace

void Call::open_channel(OnMessage on_message) {
  std::tie(channel_, their_channel_) = make_socket_pair();
  on_message_ = std::move(on_message);
}

void Call::answer(const Json& message, int file) {
  try {
    send_message(channel_.get(), dump_json(message), {file});
  } catch (const Error&) {
    // It is gone: its last words on the other pipe say why.
  }
}

Json Call::run(Json request, std::vector<int> files) {
  if (their_channel_) {
    request["channel"] = their_channel_.get();
    files.push_back(their_channel_.get());
  }
  start(request, std::move(files));
  their_channel_.reset();
  std::string pending;
  while (out_ || err_ || channel_) {
    if (fetcher_.cancel != nullptr) fetcher_.cancel->check();
    pollfd polls[4] = {{out_.get(), POLLIN, 0},
                       {err_.get(), POLLIN, 0},
                       {channel_.get(), POLLIN, 0},
                       {fetcher_.cancel != nullptr ? fetcher_.cancel->fd() : -1, POLLIN, 0}};
    if (poll(polls, 4, -1) < 0) {
      if (errno != EINTR) fail_errno("poll");
      continue;
    }
    if (polls[1].revents != 0) take(err_, complaint_);
    if (polls[2].revents != 0) take_message();
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

void Call::start(const Json& request, std::vector<int> files) {
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
  options.keep_fds = std::move(files);
  try {
    child_ = spawn(options);
  } catch (Error& error) {
    throw error.set_hint("slipway-fetch belongs beside the slipway program; install both");
  }
  out_ = std::move(out.read);
  err_ = std::move(err.read);
}

void Call::take(Fd& from, std::string& into) {
  char buffer[16384];
  const size_t count = read_some(from.get(), buffer, sizeof buffer);
  if (count == 0) from.reset();
  if (into.size() < 2 * line_max) into.append(buffer, count);
}

void Call::take_message() {
  std::string text;
  std::vector<Fd> files;
  if (!receive_message(channel_.get(), text, files)) {
    channel_.reset();
    return;
  }
  on_message_(parse_json(text, "slipway-fetch", static_cast<int>(ExitCode::machine)),
              std::move(files));
}

void Call::understand(const std::string& line) {
  Json message = parse_json(line, "slipway-fetch", static_cast<int>(ExitCode::machine));
  try {
    if (message.contains("progress")) {
      const Json& progress = message["progress"];
      if (fetcher_.on_progress)
        fetcher_.on_progress(progress.at("what"), progress.at("done"), progress.at("total"));
    } else if (message.contains("note")) {
      if (fetcher_.on_note) fetcher_.on_note(message["note"]);
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

}  // namespace slipway::fetch
