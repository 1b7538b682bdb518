// Bringing one answer: the conditional or resumed request, the growing body, its digest.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "base/text.h"
#include "record/job.h"
#include "record/wire.h"

namespace slipway::record {
namespace {

// A body longer than this is no longer held in memory.
constexpr uint64_t memory_bytes_max = 256 << 10;
constexpr uint64_t unread_bytes_max = 256 << 20;
constexpr int attempts_max = 4;
constexpr auto retry_delay = std::chrono::milliseconds(500);
constexpr auto follow_pause = std::chrono::milliseconds(20);
constexpr size_t hash_block_bytes = 256 << 10;
constexpr int hash_niceness = 10;

Fd duplicate(int fd) {
  Fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) fail_errno("open a partial download");
  return copy;
}

/// Hashes a body while it grows, behind the clients: they do not wait for digests.
class Hashing {
 public:
  explicit Hashing(Answer& answer)
      : thread_([this, &answer] {
          (void)setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), hash_niceness);
          try {
            std::vector<char> block(hash_block_bytes);
            Sha256 hasher;
            for (uint64_t at = 0;;) {
              const size_t count = answer.read(at, block.data(), block.size());
              if (count == 0) break;
              hasher.update(block.data(), count);
              at += count;
            }
            hex_ = hasher.finish_hex();
          } catch (const std::exception&) {
            hex_.clear();
          }
        }) {}
  ~Hashing() {
    if (thread_.joinable()) thread_.join();
  }
  Hashing(const Hashing&) = delete;
  Hashing& operator=(const Hashing&) = delete;
  /// Empty when the body broke off.
  std::string finish() {
    thread_.join();
    return hex_;
  }

 private:
  std::string hex_;
  std::thread thread_;
};

/// What lets a transfer be resumed or an answer be confirmed.
std::string strong_validator(const Headers& headers) {
  const std::string* tag = find_header(headers, "etag");
  if (tag != nullptr && tag->starts_with('"')) return *tag;
  const std::string* date = find_header(headers, "last-modified");
  return date != nullptr && tag == nullptr ? *date : std::string();
}

Json head_to_json(const Answer::Head& head) {
  Json headers = Json::array();
  for (const auto& [name, value] : head.headers)
    headers.push_back({name, name == "location" ? kept_location(value) : value});
  return {{"status", head.status},
          {"headers", headers},
          {"length", head.length ? Json(*head.length) : Json()}};
}

std::optional<Answer::Head> head_from_json(const Json& json) {
  try {
    Answer::Head head;
    head.status = json.at("status");
    for (const Json& pair : json.at("headers")) head.headers.emplace_back(pair.at(0), pair.at(1));
    if (!json.at("length").is_null()) head.length = json.at("length").get<uint64_t>();
    return head;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

/// "bytes 100-199/200": whether it continues at `offset`.
bool continues_at(const Headers& headers, uint64_t offset) {
  const std::string* range = find_header(headers, "content-range");
  return range != nullptr && starts_with(*range, fmt::format("bytes {}-", offset));
}

bool is_resumable(const cache::Partial& partial) {
  const auto head = partial.size_bytes() > 0 ? partial.head() : std::nullopt;
  const auto said = head ? head_from_json(*head) : std::nullopt;
  return said && !strong_validator(said->headers).empty();
}

struct Unread : Error {
  Unread() : Error(ExitCode::outside, "nobody waits for it any more") {}
};
/// The server cannot say, what is recorded can.
struct Unwell : netfetch::Transient {
  using Transient::Transient;
};

std::string cause_of(const Error& error) {
  return error.hint().empty() ? error.cause() : error.cause() + "; " + error.hint();
}

}  // namespace

/// The state of one job between attempts.
struct Bringing {
  Library::Job& job;
  Answer& answer;
  std::optional<cache::Partial>& partial;
  uint64_t body_bytes_max;
  std::optional<Hashing> hashing;
  Answer::Head head;  ///< as it came
  bool recorded = false, not_modified = false;
  uint64_t offset = 0;    ///< where this attempt continues
  uint64_t received = 0;  ///< of the whole body

  Headers request_headers() {
    Headers headers = upstream_headers(job.request.headers, job.request.method != "POST");
    offset = answer.has_head() ? answer.available() : partial ? partial->size_bytes() : 0;
    if (offset > 0) {
      if (!answer.has_head()) {
        if (job.request.method == "GET" && is_resumable(*partial)) {
          head = *head_from_json(*partial->head());
        } else {
          partial->restart();
          offset = 0;
        }
      }
      if (offset > 0) {
        headers.emplace_back("range", fmt::format("bytes={}-", offset));
        headers.emplace_back("if-range", strong_validator(head.headers));
        return headers;
      }
    }
    if (!job.known || job.request.method == "POST") return headers;
    const std::string* tag = find_header(job.known->headers, "etag");
    const std::string* date = find_header(job.known->headers, "last-modified");
    if (tag != nullptr) headers.emplace_back("if-none-match", *tag);
    if (tag == nullptr && date != nullptr) headers.emplace_back("if-modified-since", *date);
    return headers;
  }

  void take_head(const UpstreamHead& came) {
    if (came.status == 304 && job.known && offset == 0) {
      not_modified = true;
      return;
    }
    if (offset > 0 && came.status == 206) {
      if (!continues_at(came.headers, offset))
        fail(ExitCode::outside, "the server sends another part than it was asked for");
      received = offset;
      if (answer.has_head()) return;
      recorded = true;
      head.source = Source::upstream;
      // Appended from here on, whatever the offset was left at.
      if (lseek(partial->fd(), 0, SEEK_END) < 0) fail_errno("continue a download");
      answer.set_file(duplicate(partial->fd()), offset);
      answer.set_head(head);
      hashing.emplace(answer);
      return;
    }
    if (answer.has_head())
      fail(ExitCode::outside, "the server changed it while it was being transferred");
    if (offset > 0) partial->restart();
    if (job.known && (came.status >= 500 || came.status == 429))
      throw Unwell(
          fmt::format("{}: {}", shown_url(job.request.url), netfetch::status_text(came.status)));
    recorded = is_recordable(came.status);
    head = {came.status, recorded ? kept_headers(came.headers) : passed_headers(came.headers),
            came.length, recorded ? Source::upstream : Source::passed};
    received = 0;
    answer.set_head(head);
  }

  void take_body(const char* data, size_t size) {
    if (not_modified) return;
    received += size;
    if (received > body_bytes_max)
      fail(ExitCode::outside, "longer than {}", format_size(body_bytes_max));
    const bool may_be_long =
        !head.length || *head.length - std::min(*head.length, received) > unread_bytes_max;
    if (answer.readers == 0 && may_be_long) throw Unread();
    if (received > memory_bytes_max && !hashing && partial) {
      // Said beside the body, so that others can read along or resume.
      if (recorded) partial->set_head(head_to_json(head));
      answer.set_file(duplicate(partial->fd()), answer.available());
      hashing.emplace(answer);
    }
    answer.append(data, size);
  }

  void send(Upstream& upstream) {
    UpstreamCall call;
    call.method = job.request.method;
    call.url = job.request.url;
    call.headers = request_headers();
    size_t sent = 0;
    if (call.method == "POST") {
      call.upload_bytes = job.request.body.size();
      call.read = [&](char* data, size_t size) {
        const size_t count = std::min(size, job.request.body.size() - sent);
        job.request.body.copy(data, count, sent);
        sent += count;
        return count;
      };
    }
    call.on_head = [&](const UpstreamHead& came) { take_head(came); };
    call.on_body = [&](const char* data, size_t size) { take_body(data, size); };
    upstream.send(call);
  }

  bool may_resume() const {
    return job.request.method == "GET" && answer.has_head() && head.status == 200 &&
           answer.available() > 0 && !strong_validator(head.headers).empty();
  }

  cache::Finished finish() {
    cache::Finished finished;
    cache::Download& download = finished.download;
    download.key = job.key;
    download.status = head.status;
    for (const auto& [name, value] : head.headers)
      download.headers.emplace_back(name, name == "location" ? kept_location(value) : value);
    const std::string* vary = find_header(head.headers, "vary");
    download.variant = variant_text(vary != nullptr ? *vary : "", job.request);
    download.url = shown_url(job.request.url);
    download.requester = job.step;
    if (job.request.method == "HEAD") {
      if (head.length)
        download.headers.emplace_back("content-length", std::to_string(*head.length));
      return finished;
    }
    download.size_bytes = answer.available();
    if (hashing) {
      download.sha256 = hashing->finish();
      if (download.sha256.empty()) fail(ExitCode::machine, "what was recorded cannot be read");
      finished.body_in_partial = true;
    } else {
      finished.body = answer.memory();
      download.sha256 = sha256_hex(finished.body);
    }
    finished.partial = std::move(partial);
    partial.reset();
    return finished;
  }
};

std::optional<cache::Partial> Library::hold(Job& job) {
  Fd followed;
  const auto size_of = [](int fd) {
    struct stat info {};
    if (fstat(fd, &info) != 0) fail_errno("stat a partial download");
    return std::pair(info.st_ino, static_cast<uint64_t>(info.st_size));
  };
  while (!stop_) {
    if (auto partial = downloads_.try_partial(job.identity)) {
      if (!followed) return partial;
      // Whoever filled it is done or dead.
      const auto now = downloads_.find(job.key_text);
      const cache::Download* done = choose_answer(now, job.request, false);
      if (done != nullptr && !job.is_new(*done)) done = nullptr;
      const auto [inode, size] = size_of(followed.get());
      const bool usable =
          done != nullptr ? size == done->size_bytes : inode == size_of(partial->fd()).first;
      if (!usable) fail(ExitCode::outside, "another build gave this download up in the middle");
      job.answer->set_available(size);
      if (done == nullptr) return partial;
      job.answer->complete();
      job.answer->settle(done->sha256, done->id, done->recorded_s, {});
      partial->discard();
      return std::nullopt;
    }
    job.waited = true;
    auto foreign = downloads_.foreign_partial(job.identity);
    if (foreign && !followed) {
      if (auto head = head_from_json(foreign->head)) {
        followed = duplicate(foreign->file.get());
        job.answer->set_file(std::move(foreign->file), size_of(followed.get()).second);
        job.answer->set_head(std::move(*head));
      }
    }
    if (followed) job.answer->set_available(size_of(followed.get()).second);
    std::this_thread::sleep_for(follow_pause);
  }
  throw Interrupted();
}

void Library::work(Job& job) {
  Answer& answer = *job.answer;
  const auto shared = job.answer;
  std::optional<cache::Partial> partial;
  Bringing bringing{job, answer, partial, options_.body_bytes_max, {}, {}};
  std::string problem;
  const auto fall_back = [&] {
    if (answer.has_head() || !job.known || !adopt(answer, *job.known, Source::stale)) return false;
    if (partial && !is_resumable(*partial)) partial->discard();
    forget(job.identity, shared);
    return true;
  };
  try {
    if (job.request.method != "HEAD") {
      partial = hold(job);
      if (!partial) {
        forget(job.identity, shared);
        return;
      }
      // While we waited, another process may have recorded it.
      if (!answer.has_head()) {
        const auto now = downloads_.find(job.key_text);
        const cache::Download* chosen = choose_answer(now, job.request, false);
        if (chosen != nullptr && job.waited && job.is_new(*chosen) &&
            adopt(answer, *chosen, Source::cache)) {
          partial->discard();
          forget(job.identity, shared);
          return;
        }
      } else {
        bringing.hashing.emplace(answer);
        bringing.recorded = true;
        bringing.head = *answer.wait_head();
        if (lseek(partial->fd(), 0, SEEK_END) < 0) fail_errno("continue a download");
        answer.set_file(duplicate(partial->fd()), answer.available());
      }
    }
    for (int attempt = 1;; ++attempt) {
      try {
        bringing.send(upstream_);
        break;
      } catch (const Unwell&) {
        if (fall_back()) return;
        throw;
      } catch (const netfetch::Transient& error) {
        if (!answer.has_head()) {
          if (error.unreachable()) note_unreachable(job.request.url);
          if (fall_back()) return;
          throw;
        }
        if (attempt >= attempts_max || stop_ || !bringing.may_resume()) throw;
        std::this_thread::sleep_for(retry_delay * (1 << (attempt - 1)));
      }
    }
    if (bringing.not_modified) {
      if (partial) partial->discard();
      if (!adopt(answer, *job.known, Source::confirmed))
        fail(ExitCode::machine, "what was recorded of it is damaged; ask again");
      publisher_.confirm(job.known->id);
      forget(job.identity, shared);
      return;
    }
    answer.complete();
    if (!bringing.recorded) {
      if (partial) partial->discard();
      answer.settle({}, 0, 0, {});
      forget(job.identity, shared);
      return;
    }
    cache::Finished finished = bringing.finish();
    publisher_.publish(std::move(finished), shared,
                       [this, identity = job.identity, shared] { forget(identity, shared); });
    return;
  } catch (const Error& error) {
    problem = cause_of(error);
  } catch (const std::exception& error) {
    problem = error.what();
  }
  // Before the hashing thread is waited for: it reads along.
  answer.fail(problem);
  answer.settle({}, 0, 0, problem);
  if (partial && !is_resumable(*partial)) partial->discard();
  forget(job.identity, shared);
}

}  // namespace slipway::record
