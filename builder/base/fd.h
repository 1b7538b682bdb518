// Owners of file descriptors and the few read/write loops everybody needs. EINTR is retried here
// and nowhere else. Paths inside untrusted trees are opened through open_in_root().
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway {

/// Move-only owner of a descriptor; closes it.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset() noexcept;

 private:
  int fd_ = -1;
};

/// A pipe, both ends close-on-exec.
struct Pipe {
  Fd read, write;
  static Pipe create();
};

/// A connected SOCK_SEQPACKET pair, close-on-exec; each datagram may carry descriptors.
std::pair<Fd, Fd> make_socket_pair();

/// Opens with O_CLOEXEC; throws Error naming path.
Fd open_file(const std::string& path, int flags, mode_t mode = 0);
/// openat with O_CLOEXEC; throws. `what` names the directory in messages.
Fd open_at(int dir, const std::string& name, int flags, mode_t mode = 0);
/// Same, but a missing file (ENOENT, ENOTDIR) is an empty Fd.
Fd open_at_if_exists(int dir, const std::string& name, int flags);
/// Opens `path` as if `root` were "/": links and ".." cannot leave it, magic links are refused
/// (openat2 RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS). Threats 1, 2, 8. Throws.
Fd open_in_root(int root, const std::string& path, int flags, mode_t mode = 0);
/// open_in_root that keeps errno and returns an empty Fd on failure.
Fd try_open_in_root(int root, const std::string& path, int flags, mode_t mode = 0);
/// Like open_in_root, but any link that would leave `root` is an error (RESOLVE_BENEATH).
/// errno is kept on failure; returns an empty Fd.
Fd try_open_beneath(int root, const std::string& path, int flags, mode_t mode = 0);

/// Reads up to size bytes, 0 at the end. Throws on error.
size_t read_some(int fd, void* data, size_t size);
/// Reads exactly size bytes or throws.
void read_exact(int fd, void* data, size_t size);
void write_all(int fd, std::string_view data);
void write_all(int fd, const void* data, size_t size);
/// Reads until the end; throws ExitCode::app_files past limit_bytes.
std::string read_all(int fd, size_t limit_bytes = SIZE_MAX);
/// Copies size bytes at the current offsets (reflink or in-kernel when it can); returns what was
/// copied, less than size when the source ended early.
uint64_t copy_bytes(int from, int to, uint64_t size);

/// Sends one datagram with descriptors (at most 250); throws on a closed peer.
void send_message(int socket, std::string_view data, const std::vector<int>& fds = {});
/// Receives one datagram of any size. Returns false when the peer is gone.
bool receive_message(int socket, std::string& data, std::vector<Fd>& fds);

/// Marks every descriptor from `first` on close-on-exec (threat 1).
void close_on_exec_from(int first);

}  // namespace slipway
