#include "sandbox/step_output.h"

#include <linux/magic.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/error.h"
#include "sandbox/protocol.h"

namespace slipway::sandbox {
namespace {

using Clock = std::chrono::steady_clock;
// How long output may trail the step's end when something still holds the pipe (CMP-6).
constexpr auto drain_grace = std::chrono::milliseconds(100);
// How long the worker may take to end a step that was canceled.
constexpr auto cancel_grace = std::chrono::seconds(10);
// The terminal's size is compared this often: a signal handler would be the whole process's.
constexpr int window_poll_ms = 200;
constexpr int child_poll_ms = 20;

/// Scripts open their output anew (`tee /dev/stderr`, nginx's /dev/stdout), as another user than
/// the one who made the pipe. Only the pipe's mode decides about that: a pipe without a name is
/// reached through the descriptors of one's own processes only. Files and named pipes stay as they
/// are.
void let_open_anew(int fd) {
  struct statfs place {};
  if (fd >= 0 && fstatfs(fd, &place) == 0 && place.f_type == PIPEFS_MAGIC) (void)fchmod(fd, 0666);
}

}  // namespace

struct StepOutput::SavedMode {
  termios mode{};
  winsize size{};
};

StepOutput::StepOutput(const ExecSpec& spec, const ExecIo& io) : spec_(spec), io_(io) {
  terminal_ = spec.terminal && isatty(io.stdin_fd) == 1 && isatty(io.stdout_fd) == 1;
  if (terminal_) return;
  open_stream(out_, io.stdout_fd, io.on_stdout);
  if (io.one_stream && out_.write) {
    err_.write = Fd(fcntl(out_.write.get(), F_DUPFD_CLOEXEC, 0));
    if (!err_.write) fail_errno("duplicate a pipe");
  } else {
    open_stream(err_, io.stderr_fd, io.on_stderr);
  }
}

StepOutput::~StepOutput() {
  stop_terminal();
}

void StepOutput::open_stream(Stream& stream, int direct,
                             const std::function<void(std::string_view)>& callback) {
  if (!callback) {
    stream.direct = direct;
    let_open_anew(direct);
    return;
  }
  Pipe pipe = Pipe::create();
  let_open_anew(pipe.write.get());
  stream.read = std::move(pipe.read);
  stream.write = std::move(pipe.write);
  stream.callback = &callback;
  fcntl(stream.read.get(), F_SETFL, fcntl(stream.read.get(), F_GETFL) | O_NONBLOCK);
}

uint32_t StepOutput::present() const {
  if (terminal_) return 0;
  uint32_t bits = io_.stdin_fd >= 0 ? 1 : 0;
  if (out_.write || out_.direct >= 0) bits |= 2;
  if (err_.write || err_.direct >= 0) bits |= 4;
  return bits;
}

std::vector<int> StepOutput::step_fds() const {
  std::vector<int> fds;
  const uint32_t bits = present();
  if ((bits & 1U) != 0) fds.push_back(io_.stdin_fd);
  if ((bits & 2U) != 0) fds.push_back(out_.write ? out_.write.get() : out_.direct);
  if ((bits & 4U) != 0) fds.push_back(err_.write ? err_.write.get() : err_.direct);
  return fds;
}

void StepOutput::close_step_ends() {
  out_.write.reset();
  err_.write.reset();
}

bool StepOutput::pump(Stream& stream) {
  char buffer[65536];
  const ssize_t count = read(stream.read.get(), buffer, sizeof buffer);
  if (count > 0) {
    (*stream.callback)(std::string_view(buffer, static_cast<size_t>(count)));
    return true;
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  stream.read.reset();
  return false;
}

void StepOutput::drain() {
  const auto until = Clock::now() + drain_grace;
  while (out_.read || err_.read || master_) {
    pollfd polls[] = {
        {out_.read.get(), POLLIN, 0}, {err_.read.get(), POLLIN, 0}, {master_.get(), POLLIN, 0}};
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) break;
    if (poll(polls, 3, static_cast<int>(left)) < 0 && errno != EINTR) fail_errno("poll");
    if (polls[0].revents != 0) (void)pump(out_);
    if (polls[1].revents != 0) (void)pump(err_);
    if (polls[2].revents != 0) relay_terminal(true, false);
  }
  out_.read.reset();
  err_.read.reset();
  stop_terminal();
}

ExecResult StepOutput::relay(int channel, Cancel& cancel) {
  bool canceled = false;
  Clock::time_point give_up;
  for (;;) {
    pollfd polls[] = {{channel, POLLIN, 0},
                      {out_.read.get(), POLLIN, 0},
                      {err_.read.get(), POLLIN, 0},
                      {canceled ? -1 : cancel.fd(), POLLIN, 0},
                      {io_.signals_fd, POLLIN, 0},
                      {master_.get(), POLLIN, 0},
                      {typing_ ? io_.stdin_fd : -1, POLLIN, 0}};
    const int wait_ms = canceled || master_ ? window_poll_ms : -1;
    if (poll(polls, std::size(polls), wait_ms) < 0 && errno != EINTR) fail_errno("poll");
    if (polls[1].revents != 0) (void)pump(out_);
    if (polls[2].revents != 0) (void)pump(err_);
    if (master_) {
      relay_terminal(polls[5].revents != 0, polls[6].revents != 0);
      copy_window_size();
    }
    if (polls[4].revents != 0) {
      unsigned char number = 0;
      if (read(io_.signals_fd, &number, 1) == 1)
        send_message(channel, message(static_cast<int>(number)));
    }
    if (polls[3].revents != 0 && !canceled) {
      // The worker ends the step and answers once nothing of it is left.
      canceled = true;
      give_up = Clock::now() + cancel_grace;
      shutdown(channel, SHUT_WR);
    }
    if (canceled && Clock::now() > give_up) throw Interrupted();
    if (polls[0].revents == 0) continue;
    std::string text;
    std::vector<Fd> fds;
    Reply kind = Reply::ok;
    Decoder reply("");
    try {
      reply = read_reply(channel, text, &fds, &kind);
    } catch (const Error&) {
      drain();
      if (canceled) throw Interrupted();
      throw;
    }
    if (kind == Reply::terminal && !fds.empty()) {
      start_terminal(std::move(fds.front()));
      continue;
    }
    if (kind == Reply::agent && !fds.empty()) {
      const auto index = reply.next<uint64_t>();
      agents_.push_back(
          std::make_unique<AgentProxy>(std::move(fds.front()), spec_.mounts.at(index).source));
      continue;
    }
    const auto result = reply.next<ExecResult>();
    drain();
    if (canceled) throw Interrupted();
    return result;
  }
}

ExecResult StepOutput::relay_child(const std::function<std::optional<ExecResult>()>& poll_child,
                                   const std::function<void(int signal)>& send_signal,
                                   Cancel& cancel) {
  for (;;) {
    if (const auto result = poll_child()) {
      drain();
      return *result;
    }
    if (cancel.requested()) {
      send_signal(SIGKILL);
      while (!poll_child()) usleep(1000);
      drain();
      throw Interrupted();
    }
    pollfd polls[] = {{out_.read.get(), POLLIN, 0},
                      {err_.read.get(), POLLIN, 0},
                      {cancel.fd(), POLLIN, 0},
                      {io_.signals_fd, POLLIN, 0}};
    if (poll(polls, std::size(polls), child_poll_ms) < 0 && errno != EINTR) fail_errno("poll");
    if (polls[0].revents != 0) (void)pump(out_);
    if (polls[1].revents != 0) (void)pump(err_);
    if (polls[3].revents != 0) {
      unsigned char number = 0;
      if (read(io_.signals_fd, &number, 1) == 1) send_signal(number);
    }
  }
}

void StepOutput::start_terminal(Fd master) {
  master_ = std::move(master);
  fcntl(master_.get(), F_SETFL, fcntl(master_.get(), F_GETFL) | O_NONBLOCK);
  saved_ = std::make_unique<SavedMode>();
  if (tcgetattr(io_.stdin_fd, &saved_->mode) != 0) fail_errno("read the terminal's mode");
  termios raw = saved_->mode;
  cfmakeraw(&raw);
  if (tcsetattr(io_.stdin_fd, TCSADRAIN, &raw) != 0) fail_errno("set the terminal's mode");
  typing_ = true;
  copy_window_size();
}

void StepOutput::relay_terminal(bool readable, bool typed) {
  char buffer[65536];
  if (typed) {
    const ssize_t count = read(io_.stdin_fd, buffer, sizeof buffer);
    if (count > 0)
      write_all(master_.get(), std::string_view(buffer, static_cast<size_t>(count)));
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
      typing_ = false;
  }
  if (!readable) return;
  const ssize_t count = read(master_.get(), buffer, sizeof buffer);
  if (count > 0)
    write_all(io_.stdout_fd, std::string_view(buffer, static_cast<size_t>(count)));
  else if (count == 0 || (errno != EAGAIN && errno != EINTR))
    stop_terminal();  // EIO: nobody has the terminal open any more
}

void StepOutput::copy_window_size() {
  winsize size{};
  if (!master_ || !saved_ || ioctl(io_.stdout_fd, TIOCGWINSZ, &size) != 0) return;
  if (size.ws_row == saved_->size.ws_row && size.ws_col == saved_->size.ws_col) return;
  saved_->size = size;
  (void)ioctl(master_.get(), TIOCSWINSZ, &size);
}

void StepOutput::stop_terminal() {
  master_.reset();
  typing_ = false;
  if (saved_) (void)tcsetattr(io_.stdin_fd, TCSADRAIN, &saved_->mode);
  saved_.reset();
}

}  // namespace slipway::sandbox
