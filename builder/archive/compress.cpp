#include "archive/compress.h"

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

constexpr size_t open_batch = 64;
// Machines with many processors: chunks have 4 MiB on average, 8 at most.
constexpr uint64_t in_flight_bytes_max = 96 << 20;

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

struct Job {
  Chunk chunk;
  size_t number = 0;
  Buffer raw;                    // empty: neither compressed nor given to on_raw
  int left = 0;                  // tasks of the pool's on it that are not done
  std::exception_ptr failure{};  // of one of them
};

// Threads that turn raw chunks into compressed ones, and one that hands the raw bytes on in order.
// Jobs are owned by the caller's window.
class Pool {
 public:
  Pool(int threads, const TarInput& input, const CompressOptions& options)
      : codec_(input.codec), options_(options) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { compress_all(); });
    if (options_.on_raw) threads_.emplace_back([this] { hand_on_all(); });
  }
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_workers_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Jobs come in the order of their chunks.
  void submit(Job& job, bool compress, bool hand_on) {
    {
      const std::lock_guard lock(mutex_);
      job.left = (compress ? 1 : 0) + (hand_on ? 1 : 0);
      if (compress) to_compress_.push_back(&job);
      if (hand_on) to_hand_on_.push_back(&job);
    }
    wake_workers_.notify_all();
  }

  // Blocks until the job is done; throws what a task on it threw.
  void wait(Job& job) {
    std::unique_lock lock(mutex_);
    wake_caller_.wait(lock, [&] { return job.left == 0; });
    if (job.failure) std::rethrow_exception(job.failure);
  }

  bool is_done(const Job& job) {
    const std::lock_guard lock(mutex_);
    return job.left == 0;
  }

 private:
  void compress_all() {
    std::unique_ptr<ChunkCompressor> compressor;
    serve(to_compress_, [&](Job& job) {
      if (!compressor) compressor = std::make_unique<ChunkCompressor>(codec_);
      job.chunk.compressed = compressor->compress(job.raw.data.get(), job.chunk.raw_size);
    });
  }

  void hand_on_all() {
    serve(to_hand_on_, [&](Job& job) {
      options_.on_raw(job.number, {job.raw.data.get(), job.chunk.raw_size});
    });
  }

  template <typename Task>
  void serve(std::deque<Job*>& waiting, const Task& task) {
    for (;;) {
      Job* job = nullptr;
      {
        std::unique_lock lock(mutex_);
        wake_workers_.wait(lock, [&] { return stopping_ || !waiting.empty(); });
        if (stopping_) return;
        job = waiting.front();
        waiting.pop_front();
      }
      std::exception_ptr failure;
      try {
        task(*job);
      } catch (...) {
        failure = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex_);
        if (failure) job->failure = failure;
        --job->left;
      }
      wake_caller_.notify_one();
    }
  }

  const Codec codec_;
  const CompressOptions& options_;
  std::mutex mutex_;  // guards the queues, stopping_ and the jobs' left and failure
  std::condition_variable wake_workers_, wake_caller_;
  std::deque<Job*> to_compress_, to_hand_on_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// Fills chunks with headers and contents.
class Reader {
 public:
  explicit Reader(const TarInput& input) : input_(input), members_(*input.members) {}

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
        members_.append_header(header_, piece.member);
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
    for (size_t i = 0; i < count; ++i) paths.push_back(members_.open_path(wanted[i].piece->member));
    const std::vector<Fd> files = input_.open(paths);
    SLIPWAY_CHECK(files.size() == count);
    for (size_t i = 0; i < count; ++i) read_piece(files[i].get(), *wanted[i].piece, wanted[i].out);
  }

  void read_piece(int file, const TarPlan::Piece& piece, char* out) {
    const uint64_t listed = members_.content_size(piece.member);
    const std::string& path = members_.open_path(piece.member);
    struct stat info {};
    if (fstat(file, &info) != 0) fail_errno("stat {}", printable(path));
    if (!S_ISREG(info.st_mode))
      fail(ExitCode::machine, "{} is not a file any more", printable(path));
    const auto size = static_cast<uint64_t>(info.st_size);
    if (size != listed) fail_size(path, size, listed);
    for (uint64_t done = 0; done < piece.length;) {
      const ssize_t count =
          pread(file, out + done, piece.length - done, static_cast<off_t>(piece.offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_errno("read {}", printable(path));
      if (count == 0) fail_size(path, piece.offset + done, listed);
      done += static_cast<uint64_t>(count);
    }
    patch(piece, out);
  }

  void patch(const TarPlan::Piece& piece, char* out) {
    const auto found =
        std::lower_bound(input_.patches.begin(), input_.patches.end(), piece.member,
                         [](const TarPatch& one, uint32_t member) { return one.member < member; });
    if (found == input_.patches.end() || found->member != piece.member) return;
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

  const TarInput& input_;
  const TarMembers& members_;
  std::string header_;
};

// Keeps chunks in order and memory bounded: at most 2 * threads_ chunks and in_flight_bytes_max of
// their bytes are in flight.
class Pipeline {
 public:
  Pipeline(const TarInput& input, const TarPlan& plan, const CompressOptions& options)
      : input_(input),
        plan_(plan),
        options_(options),
        threads_(options.threads > 0 ? options.threads : usable_processors()),
        reader_(input) {}

  void run() {
    for (size_t i = 0; i < plan_.chunks.size(); ++i) {
      const TarPlan::Part& part = plan_.chunks[i];
      if (options_.cancel != nullptr) options_.cancel->check();
      window_.push_back(std::make_unique<Job>());
      Job& job = *window_.back();
      job.number = i;
      job.chunk.key = part.key;
      job.chunk.raw_size = part.raw_size;
      job.chunk.known = options_.known && options_.known(part.key);
      const bool hand_on = options_.on_raw && i >= options_.raw_from;
      if (!job.chunk.known || hand_on) start(part, job, hand_on);
      while (!window_.empty() && is_ready(*window_.front())) deliver();
    }
    while (!window_.empty()) deliver();
  }

 private:
  void start(const TarPlan::Part& part, Job& job, bool hand_on) {
    if (!pool_) pool_ = std::make_unique<Pool>(threads_, input_, options_);
    job.raw = take_buffer(part.raw_size);
    reader_.read(part, job.raw.data.get());
    ++in_flight_;
    in_flight_bytes_ += part.raw_size;
    pool_->submit(job, !job.chunk.known, hand_on);
  }

  bool is_ready(const Job& job) {
    // One chunk a thread at work, one waiting for each: the reader is never the brake.
    if (in_flight_ >= 2 * threads_ || in_flight_bytes_ >= in_flight_bytes_max) return true;
    return !job.raw.data || pool_->is_done(job);
  }

  void deliver() {
    Job& job = *window_.front();
    if (job.raw.data) {
      pool_->wait(job);
      --in_flight_;
      in_flight_bytes_ -= job.chunk.raw_size;
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

  const TarInput& input_;
  const TarPlan& plan_;
  const CompressOptions& options_;
  const int threads_;
  Reader reader_;
  std::vector<Buffer> free_;
  int in_flight_ = 0;
  uint64_t in_flight_bytes_ = 0;
  uint64_t raw_done_ = 0;
  std::deque<std::unique_ptr<Job>> window_;
  // Last: its threads use the jobs above and end first.
  std::unique_ptr<Pool> pool_;
};

}  // namespace

void compress_tar(const TarInput& input, const TarPlan& plan, const CompressOptions& options) {
  SLIPWAY_CHECK(input.members != nullptr && options.on_chunk != nullptr);
  Pipeline(input, plan, options).run();
}

void compress_tar(const TarSource& source, const TarPlan& plan, const CompressOptions& options) {
  const TreeMembers members(source.members, source.open_paths);
  compress_tar(TarInput{.members = &members, .open = source.open, .patches = source.patches}, plan,
               options);
}

void compress_tar(const TarSource& source, const CompressOptions& options) {
  compress_tar(source, plan_tar(source), options);
}

}  // namespace slipway::archive
