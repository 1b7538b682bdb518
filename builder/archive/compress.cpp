#include "archive/compress.h"

#include <libdeflate.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "archive/tar_header.h"
#include "base/error.h"
#include "base/text.h"

namespace slipway::archive {
namespace {

// Measured against zlib's level 6 on trees of Python, JavaScript, C and programs: level 6 is needed
// to be no larger on text, level 5 suffices for binaries and takes an eighth less time there.
constexpr int text_level = 6;
constexpr int binary_level = 5;
constexpr size_t open_batch = 64;

int usable_processors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return 1;
}

// Plain memory of a chunk; never zeroed, the reader fills all of it.
struct Buffer {
  std::unique_ptr<char[]> data;
  size_t capacity = 0;
};

struct CompressorDeleter {
  void operator()(libdeflate_compressor* compressor) const {
    libdeflate_free_compressor(compressor);
  }
};

using Compressor = std::unique_ptr<libdeflate_compressor, CompressorDeleter>;

struct Job {
  Chunk chunk;
  Buffer raw;
  bool done = false;
  std::exception_ptr failure;
};

// Decided by the chunk's bytes alone, so that equal chunks give equal members.
bool is_binary(const char* data, size_t size) {
  constexpr size_t stride = 61;  // a prime: no record size hides behind it
  constexpr size_t binary_share = 5;
  size_t seen = 0, binary = 0;
  for (size_t i = 0; i < size; i += stride, ++seen) {
    const auto byte = static_cast<unsigned char>(data[i]);
    binary += byte >= 0x7f || byte < '\t' ? 1 : 0;
  }
  return binary * binary_share > seen;
}

// Threads that turn raw chunks into gzip members. Jobs are owned by the caller's window.
class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      waiting_.clear();
    }
    wake_workers_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void submit(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(&job);
    }
    wake_workers_.notify_one();
  }

  // Blocks until the job is done; throws what its compression threw.
  void wait(Job& job) {
    std::unique_lock lock(mutex_);
    wake_caller_.wait(lock, [&] { return job.done; });
    if (job.failure) std::rethrow_exception(job.failure);
  }

  bool is_done(const Job& job) {
    const std::lock_guard lock(mutex_);
    return job.done;
  }

 private:
  void work() {
    const Compressor for_text(libdeflate_alloc_compressor(text_level));
    const Compressor for_binary(libdeflate_alloc_compressor(binary_level));
    Buffer scratch;
    for (;;) {
      Job* job = nullptr;
      {
        std::unique_lock lock(mutex_);
        wake_workers_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
        if (stopping_) return;
        job = waiting_.front();
        waiting_.pop_front();
      }
      std::exception_ptr failure;
      try {
        const bool binary = is_binary(job->raw.data.get(), job->chunk.raw_size);
        compress((binary ? for_binary : for_text).get(), *job, scratch);
      } catch (...) {
        failure = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex_);
        job->failure = failure;
        job->done = true;
      }
      wake_caller_.notify_one();
    }
  }

  static void compress(libdeflate_compressor* compressor, Job& job, Buffer& scratch) {
    if (compressor == nullptr) throw std::bad_alloc();
    const size_t bound = libdeflate_gzip_compress_bound(compressor, job.chunk.raw_size);
    if (scratch.capacity < bound) scratch = {std::unique_ptr<char[]>(new char[bound]), bound};
    const size_t size = libdeflate_gzip_compress(compressor, job.raw.data.get(), job.chunk.raw_size,
                                                 scratch.data.get(), scratch.capacity);
    SLIPWAY_CHECK(size > 0);
    job.chunk.compressed.assign(scratch.data.get(), size);
  }

  std::mutex mutex_;  // guards waiting_, stopping_ and the jobs' done and failure
  std::condition_variable wake_workers_, wake_caller_;
  std::deque<Job*> waiting_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// Fills chunks with headers and contents.
class Reader {
 public:
  explicit Reader(const TarSource& source) : source_(source) {}

  void read(const TarPlan::Part& part, char* out) {
    std::vector<Wanted> wanted;
    char* position = out;
    for (const TarPlan::Piece& piece : part.pieces) {
      if (piece.trailer) {
        std::memset(position, 0, tar_trailer_bytes);
        position += tar_trailer_bytes;
        continue;
      }
      if (piece.header) {
        header_.clear();
        append_tar_header(header_, source_.members[piece.member]);
        std::memcpy(position, header_.data(), header_.size());
        position += header_.size();
      }
      if (piece.length > 0) wanted.push_back({&piece, position});
      position += piece.length;
      std::memset(position, 0, piece.padding);
      position += piece.padding;
    }
    SLIPWAY_CHECK(position == out + part.raw_size);
    for (size_t i = 0; i < wanted.size(); i += open_batch)
      read_batch(wanted.data() + i, std::min(open_batch, wanted.size() - i));
  }

 private:
  struct Wanted {
    const TarPlan::Piece* piece;
    char* out;
  };

  void read_batch(const Wanted* wanted, size_t count) {
    std::vector<std::string> paths;
    for (size_t i = 0; i < count; ++i) paths.push_back(source_.open_paths[wanted[i].piece->member]);
    const std::vector<Fd> files = source_.open(paths);
    SLIPWAY_CHECK(files.size() == count);
    for (size_t i = 0; i < count; ++i) read_piece(files[i].get(), *wanted[i].piece, wanted[i].out);
  }

  void read_piece(int file, const TarPlan::Piece& piece, char* out) {
    const TreeEntry& member = source_.members[piece.member];
    const std::string& path = source_.open_paths[piece.member];
    struct stat info {};
    if (fstat(file, &info) != 0) fail_errno("stat {}", printable(path));
    if (!S_ISREG(info.st_mode))
      fail(ExitCode::machine, "{} is not a file any more", printable(path));
    const auto size = static_cast<uint64_t>(info.st_size);
    if (size != member.size) fail_size(path, size, member.size);
    for (uint64_t done = 0; done < piece.length;) {
      const ssize_t count =
          pread(file, out + done, piece.length - done, static_cast<off_t>(piece.offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_errno("read {}", printable(path));
      if (count == 0) fail_size(path, piece.offset + done, member.size);
      done += static_cast<uint64_t>(count);
    }
    patch(piece, out);
  }

  void patch(const TarPlan::Piece& piece, char* out) {
    const auto found =
        std::lower_bound(source_.patches.begin(), source_.patches.end(), piece.member,
                         [](const TarPatch& one, uint32_t member) { return one.member < member; });
    if (found == source_.patches.end() || found->member != piece.member) return;
    for (size_t i = 0; i < found->bytes.size(); ++i) {
      const uint64_t at = found->offset + i;
      if (at >= piece.offset && at < piece.offset + piece.length)
        out[at - piece.offset] = found->bytes[i];
    }
  }

  [[noreturn]] static void fail_size(const std::string& path, uint64_t found, uint64_t listed) {
    throw Error(ExitCode::machine,
                fmt::format("{} has {} bytes, its listing says {}", printable(path), found, listed))
        .set_hint("it changed while it was archived; build again");
  }

  const TarSource& source_;
  std::string header_;
};

// Keeps chunks in order and memory bounded: at most window_max chunks with bytes are in flight.
class Pipeline {
 public:
  Pipeline(const TarSource& source, const TarPlan& plan, const CompressOptions& options)
      : plan_(plan),
        options_(options),
        threads_(options.threads > 0 ? options.threads : usable_processors()),
        reader_(source) {}

  void run() {
    for (const TarPlan::Part& part : plan_.chunks) {
      if (options_.cancel != nullptr) options_.cancel->check();
      window_.push_back(std::make_unique<Job>());
      Job& job = *window_.back();
      job.chunk.key = part.key;
      job.chunk.raw_size = part.raw_size;
      job.chunk.known = options_.known && options_.known(part.key);
      if (job.chunk.known) {
        job.done = true;
      } else {
        start(part, job);
      }
      while (!window_.empty() && is_ready(*window_.front())) deliver();
    }
    while (!window_.empty()) deliver();
  }

 private:
  void start(const TarPlan::Part& part, Job& job) {
    if (!pool_) pool_ = std::make_unique<Pool>(threads_);
    job.raw = take_buffer(part.raw_size);
    reader_.read(part, job.raw.data.get());
    ++in_flight_;
    pool_->submit(job);
  }

  bool is_ready(const Job& job) {
    // One chunk a thread at work, one waiting for each: the reader is never the brake.
    if (in_flight_ >= 2 * threads_) return true;
    return job.chunk.known || pool_->is_done(job);
  }

  void deliver() {
    Job& job = *window_.front();
    if (!job.chunk.known) {
      pool_->wait(job);
      --in_flight_;
      free_.push_back(std::move(job.raw));
    }
    raw_done_ += job.chunk.raw_size;
    options_.on_chunk(std::move(job.chunk));
    window_.pop_front();
    if (options_.on_progress) options_.on_progress(raw_done_, plan_.raw_size);
  }

  Buffer take_buffer(size_t size) {
    for (Buffer& buffer : free_) {
      if (buffer.capacity < size) continue;
      Buffer taken = std::move(buffer);
      buffer = std::move(free_.back());
      free_.pop_back();
      return taken;
    }
    if (!free_.empty()) free_.pop_back();
    return {std::unique_ptr<char[]>(new char[size]), size};
  }

  const TarPlan& plan_;
  const CompressOptions& options_;
  const int threads_;
  Reader reader_;
  std::vector<Buffer> free_;
  int in_flight_ = 0;
  uint64_t raw_done_ = 0;
  std::deque<std::unique_ptr<Job>> window_;
  // Last: its threads use the jobs above and end first.
  std::unique_ptr<Pool> pool_;
};

}  // namespace

void compress_tar(const TarSource& source, const TarPlan& plan, const CompressOptions& options) {
  SLIPWAY_CHECK(options.on_chunk != nullptr);
  Pipeline(source, plan, options).run();
}

void compress_tar(const TarSource& source, const CompressOptions& options) {
  compress_tar(source, plan_tar(source), options);
}

}  // namespace slipway::archive
