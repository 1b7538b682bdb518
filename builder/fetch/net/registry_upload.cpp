#include "netfetch/registry_upload.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"

namespace slipway::netfetch {
namespace {

// What proxies that limit a body usually let pass.
constexpr uint64_t chunk_bytes_default = 32 << 20;
// A registry stores the whole blob between the last byte and its answer.
constexpr auto commit_limit = std::chrono::seconds(300);
constexpr auto give_up_limit = std::chrono::seconds(5);

bool succeeded(const Endpoint::Answer& answer) {
  return answer.reply.status >= 200 && answer.reply.status < 300;
}

}  // namespace

Fd BlobGiver::want(size_t index) {
  const std::lock_guard lock(mutex_);
  send_message(channel_, dump_json({{"want", index}}));
  std::string text;
  std::vector<Fd> files;
  if (!receive_message(channel_, text, files) || files.size() != 1)
    fail(ExitCode::machine, "a blob to be pushed did not come");
  return std::move(files[0]);
}

void BlobGiver::tell_short(size_t index) {
  const std::lock_guard lock(mutex_);
  send_message(channel_, dump_json({{"short", index}}));
}

Upload::Upload(Work& work, Endpoint& endpoint, std::string repository, const oci::Descriptor& blob,
               size_t index, BlobGiver& giver)
    : work_(work),
      endpoint_(endpoint),
      repository_(std::move(repository)),
      blob_(blob),
      index_(index),
      giver_(giver) {}

Upload::~Upload() {
  give_up();
}

void Upload::give_up() noexcept {
  if (!session_) return;
  try {
    // Not the worker's own connection: that one obeys the flag that may just have stopped all.
    Connection connection(nullptr);
    Endpoint::Request request = at_session("DELETE");
    request.stall_limit = give_up_limit;
    (void)endpoint_.send(connection, request);
  } catch (const std::exception&) {
    // It will expire.
  }
  session_.reset();
}

// --- requests ---

Endpoint::Request Upload::request(const std::string& method, const std::string& path) const {
  Endpoint::Request request;
  request.method = method;
  request.path = fmt::format("/v2/{}/blobs/{}", repository_, path);
  request.scopes = {fmt::format("repository:{}:pull,push", repository_)};
  return request;
}

Endpoint::Request Upload::at_session(const std::string& method) const {
  Endpoint::Request request = this->request(method, "uploads/");
  request.url = session_;
  return request;
}

// The query is opaque: added to, never rebuilt (N4).
fetch::Url Upload::closing_location() const {
  fetch::Url url = *session_;
  url.rest += url.rest.find('?') == std::string::npos ? "?" : "&";
  url.rest += "digest=sha256%3A" + blob_.digest.substr(blob_.digest.find(':') + 1);
  return url;
}

void Upload::keep_location(const Endpoint::Answer& answer) {
  // Where none is told the session stays where it is.
  if (answer.reply.header("location") != nullptr) session_ = endpoint_.located(answer);
  const std::string* least = answer.reply.header("oci-chunk-min-length");
  if (least != nullptr)
    chunk_bytes_min_ = std::min<uint64_t>(parse_number(*least).value_or(0), blob_.size_bytes);
}

bool Upload::present(Connection& connection) {
  Endpoint::Request ask = request("HEAD", blob_.digest);
  ask.follow_redirects = true;
  const Endpoint::Answer answer = endpoint_.send(connection, ask);
  if (answer.reply.status == 404) return false;
  if (answer.reply.status != 200) endpoint_.refuse(answer);
  return true;
}

bool Upload::mount(Connection& connection, const std::vector<std::string>& mount_from) {
  for (const std::string& from : mount_from) {
    if (from == repository_ || !oci::is_repository(from)) continue;
    give_up();
    Endpoint::Request ask =
        request("POST", fmt::format("uploads/?mount=sha256%3A{}&from={}",
                                    blob_.digest.substr(blob_.digest.find(':') + 1), from));
    ask.scopes.insert(fmt::format("repository:{}:pull", from));
    try {
      const Endpoint::Answer answer = endpoint_.send(connection, ask);
      if (answer.reply.status == 201) return true;
      // An ordinary session in its place: used unless the next one can be mounted.
      if (answer.reply.status == 202) keep_location(answer);
    } catch (const Interrupted&) {
      throw;
    } catch (const Transient&) {
      throw;
    } catch (const Error&) {
      // Not allowed to read there: then the bytes are sent.
    }
  }
  return false;
}

void Upload::open(Connection& connection) {
  const Endpoint::Answer answer = endpoint_.send(connection, request("POST", "uploads/"));
  if (answer.reply.status != 202) endpoint_.refuse(answer);
  if (answer.reply.header("location") == nullptr)
    fail(ExitCode::outside, "{}: it does not say where to send the blob",
         call_text("POST", answer.url));
  offset_ = 0;
  keep_location(answer);
}

bool Upload::recall(Connection& connection) {
  const Endpoint::Answer answer = endpoint_.send(connection, at_session("GET"));
  const std::string* range = answer.reply.header("range");
  if (answer.reply.status != 204 && answer.reply.status != 202) return false;
  offset_ = 0;
  // "0-99": the first hundred bytes are there. "0-0" is said of none, too, and costs a byte.
  const size_t dash = range != nullptr ? range->find('-') : std::string::npos;
  const auto last =
      dash != std::string::npos ? parse_number(range->substr(dash + 1)) : std::nullopt;
  if (last && *last > 0 && *last < blob_.size_bytes) offset_ = *last + 1;
  keep_location(answer);
  return offset_ > 0;
}

// --- the bytes ---

void Upload::seek(uint64_t offset) {
  if (source_ && position_ == offset) return;
  // Closed first: who still writes into it must end before there can be another.
  source_.reset();
  source_ = giver_.want(index_);
  position_ = 0;
  struct stat info {};
  if (fstat(source_.get(), &info) != 0) fail_errno("stat a blob");
  if (S_ISREG(info.st_mode)) {
    if (static_cast<uint64_t>(info.st_size) != blob_.size_bytes)
      fail(ExitCode::machine, "the blob {} is {} bytes long, not {}", blob_.digest, info.st_size,
           blob_.size_bytes);
    if (lseek(source_.get(), static_cast<off_t>(offset), SEEK_SET) < 0)
      fail_errno("seek in a blob");
    position_ = offset;
    return;
  }
  char buffer[65536];
  while (position_ < offset)
    if (read(buffer, static_cast<size_t>(std::min<uint64_t>(sizeof buffer, offset - position_))) ==
        0)
      fail(ExitCode::machine, "the blob {} ended early", blob_.digest);
}

size_t Upload::read(char* data, size_t size) {
  const size_t count = read_some(source_.get(), data, size);
  if (count == 0) {
    giver_.tell_short(index_);
    fail(ExitCode::machine, "the blob {} ended after {} of {} bytes", blob_.digest, position_,
         blob_.size_bytes);
  }
  position_ += count;
  work_.progress(blob_.digest, position_, blob_.size_bytes);
  char more = 0;
  if (position_ == blob_.size_bytes && read_some(source_.get(), &more, 1) != 0)
    fail(ExitCode::machine, "the blob {} is longer than {} bytes", blob_.digest, blob_.size_bytes);
  return count;
}

// A registry that was started anew, or a second one beside it, may have forgotten the session.
void Upload::expect_session(const Endpoint::Answer& answer) {
  if (answer.reply.status != 404) return;
  session_.reset();
  throw Transient(answer.refusal());
}

void Upload::put_whole(Connection& connection) {
  Endpoint::Request put = at_session("PUT");
  put.url = closing_location();
  put.headers = {"Content-Type: application/octet-stream"};
  put.stall_limit = std::max(commit_limit, work_.settings.stall_limit);
  put.upload_bytes = blob_.size_bytes;
  if (blob_.size_bytes > 0) {
    put.read = [&](char* data, size_t size) { return read(data, size); };
    put.rewind = [&] { seek(0); };
    seek(0);
  }
  broken_ = true;
  const Endpoint::Answer answer = endpoint_.send(connection, put);
  broken_ = false;
  if (answer.reply.status == 413 && chunk_bytes_ == 0) {
    chunk_bytes_ = chunk_bytes_default;
    return;
  }
  expect_session(answer);
  if (!succeeded(answer)) endpoint_.refuse(answer);
  session_.reset();
}

void Upload::patch(Connection& connection) {
  const uint64_t wanted = chunk_bytes_ == 0 ? blob_.size_bytes : chunk_bytes_;
  const uint64_t end = std::min(blob_.size_bytes, offset_ + std::max(wanted, chunk_bytes_min_));
  Endpoint::Request chunk = at_session("PATCH");
  chunk.headers = {"Content-Type: application/octet-stream",
                   fmt::format("Content-Range: {}-{}", offset_, end - 1)};
  chunk.upload_bytes = end - offset_;
  chunk.read = [&](char* data, size_t size) { return read(data, size); };
  chunk.rewind = [&, offset = offset_] { seek(offset); };
  chunk.stall_limit = std::max(commit_limit, work_.settings.stall_limit);
  seek(offset_);
  broken_ = true;
  const Endpoint::Answer answer = endpoint_.send(connection, chunk);
  // Out of step: it says where it stands (recall).
  if (answer.reply.status == 416) throw Transient(answer.refusal());
  broken_ = false;
  expect_session(answer);
  if (answer.reply.status != 202 && answer.reply.status != 204) endpoint_.refuse(answer);
  offset_ = end;
  keep_location(answer);
}

void Upload::put_end(Connection& connection) {
  Endpoint::Request put = at_session("PUT");
  put.url = closing_location();
  put.stall_limit = std::max(commit_limit, work_.settings.stall_limit);
  const Endpoint::Answer answer = endpoint_.send(connection, put);
  expect_session(answer);
  if (!succeeded(answer)) endpoint_.refuse(answer);
  session_.reset();
}

void Upload::transfer(Connection& connection) {
  if (broken_ && session_ && !recall(connection)) give_up();
  broken_ = false;
  if (!session_) open(connection);
  if (offset_ == 0 && chunk_bytes_ == 0) {
    put_whole(connection);
    if (!session_) return;
    // Too much at once for it: from the beginning, in pieces.
    give_up();
    open(connection);
  }
  while (offset_ < blob_.size_bytes) patch(connection);
  put_end(connection);
}

Pushed Upload::run(Connection& connection, const std::vector<std::string>& mount_from) {
  if (with_patience(work_, [&] { return present(connection); })) return Pushed::present;
  if (with_patience(work_, [&] { return mount(connection, mount_from); })) return Pushed::mounted;
  bool again = false;
  with_patience(work_, [&] {
    // The answer may be all that was lost.
    if (std::exchange(again, true) && broken_ && present(connection)) {
      session_.reset();
      return;
    }
    transfer(connection);
  });
  return Pushed::uploaded;
}

}  // namespace slipway::netfetch
