#include "base/fd.h"

#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace slipway {
namespace {

template <typename Call>
auto retry(Call call) {
  decltype(call()) result;
  do result = call();
  while (result == -1 && errno == EINTR);
  return result;
}

int openat2_call(int dir, const char* path, int flags, mode_t mode, uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  // openat2 refuses a mode without O_CREAT.
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = resolve;
  // EAGAIN: a rename raced with the resolution of ".."; the kernel asks to try again.
  for (int attempt = 0;; ++attempt) {
    const int fd = static_cast<int>(syscall(SYS_openat2, dir, path, &how, sizeof how));
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN) || attempt > 64) return fd;
  }
}

// Longer texts travel as a memory file: an ordinary user's socket buffer ends near 200 KiB.
constexpr size_t inline_max = 64 << 10;
constexpr char inline_mark = 'i';
constexpr char memory_mark = 'm';

}  // namespace

void Fd::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Pipe Pipe::create() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail_errno("creating a pipe");
  return {Fd(ends[0]), Fd(ends[1])};
}

std::pair<Fd, Fd> make_socket_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    fail_errno("creating a socket pair");
  return {Fd(ends[0]), Fd(ends[1])};
}

Fd open_file(const std::string& path, int flags, mode_t mode) {
  return open_at(AT_FDCWD, path, flags, mode);
}

Fd open_at(int dir, const std::string& name, int flags, mode_t mode) {
  const int fd = retry([&] { return openat(dir, name.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) fail_errno("open {}", name);
  return Fd(fd);
}

Fd open_at_if_exists(int dir, const std::string& name, int flags) {
  const int fd = retry([&] { return openat(dir, name.c_str(), flags | O_CLOEXEC); });
  if (fd < 0 && errno != ENOENT && errno != ENOTDIR) fail_errno("open {}", name);
  return Fd(fd);
}

Fd open_in_root(int root, const std::string& path, int flags, mode_t mode) {
  Fd fd = try_open_in_root(root, path, flags, mode);
  if (!fd) fail_errno("open {} in its root", path);
  return fd;
}

Fd try_open_in_root(int root, const std::string& path, int flags, mode_t mode) {
  return Fd(openat2_call(root, path.c_str(), flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
}

Fd try_open_beneath(int root, const std::string& path, int flags, mode_t mode) {
  return Fd(openat2_call(root, path.c_str(), flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS));
}

size_t read_some(int fd, void* data, size_t size) {
  const ssize_t count = retry([&] { return read(fd, data, size); });
  if (count < 0) fail_errno("read");
  return static_cast<size_t>(count);
}

void read_exact(int fd, void* data, size_t size) {
  auto* out = static_cast<char*>(data);
  while (size > 0) {
    const size_t count = read_some(fd, out, size);
    if (count == 0) throw Error(ExitCode::machine, "read: unexpected end of file");
    out += count;
    size -= count;
  }
}

void write_all(int fd, std::string_view data) {
  write_all(fd, data.data(), data.size());
}

void write_all(int fd, const void* data, size_t size) {
  const auto* in = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = retry([&] { return write(fd, in, size); });
    if (count < 0) fail_errno("write");
    in += count;
    size -= static_cast<size_t>(count);
  }
}

std::string read_all(int fd, size_t limit_bytes) {
  std::string text;
  char buffer[65536];
  for (;;) {
    const size_t count = read_some(fd, buffer, sizeof buffer);
    if (count == 0) return text;
    if (text.size() + count > limit_bytes)
      fail(ExitCode::app_files, "larger than the limit of {} bytes", limit_bytes);
    text.append(buffer, count);
  }
}

uint64_t copy_bytes(int from, int to, uint64_t size) {
  uint64_t done = 0;
  while (done < size) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(size - done, 1U << 30));
    const ssize_t count =
        retry([&] { return copy_file_range(from, nullptr, to, nullptr, want, 0); });
    if (count == 0) break;
    if (count > 0) {
      done += static_cast<uint64_t>(count);
      continue;
    }
    // Across filesystems, on special or appended files or old kernels: plain copying.
    if (errno != EXDEV && errno != EINVAL && errno != EBADF && errno != EOPNOTSUPP &&
        errno != ENOSYS && errno != EPERM)
      fail_errno("copy");
    std::string buffer(static_cast<size_t>(std::min<uint64_t>(size - done, 1U << 18)), '\0');
    while (done < size) {
      const size_t part = read_some(
          from, buffer.data(), static_cast<size_t>(std::min<uint64_t>(buffer.size(), size - done)));
      if (part == 0) break;
      write_all(to, buffer.data(), part);
      done += part;
    }
    break;
  }
  return done;
}

void send_message(int socket, std::string_view data, const std::vector<int>& fds) {
  std::vector<int> all = fds;
  Fd memory;
  char mark = inline_mark;
  iovec parts[2] = {{&mark, 1}, {const_cast<char*>(data.data()), data.size()}};
  if (data.size() > inline_max) {
    memory = Fd(memfd_create("slipway-message", MFD_CLOEXEC));
    if (!memory) fail_errno("memfd_create");
    write_all(memory.get(), data);
    all.push_back(memory.get());
    mark = memory_mark;
    parts[1].iov_len = 0;
  }
  std::vector<char> control(CMSG_SPACE(sizeof(int) * all.size()));
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (!all.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * all.size());
    std::memcpy(CMSG_DATA(header), all.data(), sizeof(int) * all.size());
  }
  if (retry([&] { return sendmsg(socket, &message, MSG_NOSIGNAL); }) < 0)
    fail_errno("send a message");
}

bool receive_message(int socket, std::string& data, std::vector<Fd>& fds) {
  fds.clear();
  char buffer[inline_max + 1];
  iovec part{buffer, sizeof buffer};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 253)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = retry([&] { return recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (count < 0 && errno != ECONNRESET) fail_errno("receive a message");
  if (count <= 0) return false;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t total = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < total; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    throw Error(ExitCode::machine, "received a message that was cut short");
  if (buffer[0] == memory_mark) {
    if (fds.empty()) throw Error(ExitCode::machine, "received a message without its text");
    const Fd memory = std::move(fds.back());
    fds.pop_back();
    if (lseek(memory.get(), 0, SEEK_SET) != 0) fail_errno("seek in a message");
    data = read_all(memory.get());
  } else {
    data.assign(buffer + 1, static_cast<size_t>(count) - 1);
  }
  return true;
}

void close_on_exec_from(int first) {
  if (syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) !=
      0)
    fail_errno("close_range");
}

}  // namespace slipway
