#include "netfetch/registry_source.h"

#include <unistd.h>

#include <algorithm>

#include "base/digest.h"
#include "base/text.h"
#include "fetch/fetcher.h"
#include "fetch/url.h"
#include "netfetch/http.h"

namespace slipway::netfetch {
namespace {

// So much more than before, and a transfer that breaks off again has been worth it.
constexpr uint64_t progress_bytes = 1 << 20;

std::string digest_of(std::string_view bytes) {
  return "sha256:" + sha256_hex(bytes);
}

std::string media_type_of(const HttpReply& reply) {
  const std::string* type = reply.header("content-type");
  return type == nullptr ? "" : std::string(trim(type->substr(0, type->find(';'))));
}

bool is_document_type(std::string_view type) {
  return oci::is_index_type(type) || oci::is_manifest_type(type);
}

/// "bytes 100-199/200" continues at 100 a thing of 200 bytes.
bool continues(const HttpReply& reply, uint64_t received, uint64_t size) {
  const std::string* range = reply.header("content-range");
  const std::string start = fmt::format("bytes {}-", received);
  if (range == nullptr || !starts_with(*range, start)) return false;
  const size_t slash = range->find('/');
  const std::string total = slash == std::string::npos ? "*" : range->substr(slash + 1);
  return total == "*" || total == std::to_string(size);
}

/// A blob on its way into a file, over as many requests as it takes.
class Transfer {
 public:
  Transfer(Work& work, const oci::Descriptor& blob, int file)
      : work_(work), blob_(blob), file_(file) {}

  /// One request; throws Transient when it is worth to go on from here.
  Endpoint::Answer attempt(Endpoint& endpoint, Connection& connection, Endpoint::Request request) {
    if (received_ > 0) {
      request.headers.push_back(fmt::format("Range: bytes={}-", received_));
      resumed_ = true;
    }
    request.wants_body = [&](const HttpReply& head) { return begin(head); };
    request.sink = [&](const char* data, size_t size) { take(data, size); };
    Endpoint::Answer answer = endpoint.send(connection, request);
    const std::string doing = call_text("GET", answer.url);
    if (answer.reply.status == 416 && received_ > 0) {
      restart();
      throw Transient(doing + ": the server cannot resume");
    }
    if (answer.reply.status != 200 && answer.reply.status != 206) return answer;
    if (received_ < blob_.size_bytes)
      throw Transient(
          fmt::format("{}: it ended after {} of {} bytes", doing, received_, blob_.size_bytes));
    finish(doing);
    return answer;
  }
  /// Whether much came since the last call.
  bool progressed() {
    const bool much = received_ >= counted_ + progress_bytes;
    counted_ = received_;
    return much;
  }

 private:
  bool begin(const HttpReply& head) {
    if (head.status == 206) {
      if (received_ == 0 || !continues(head, received_, blob_.size_bytes))
        fail(ExitCode::outside, "the server answers with another range than asked for");
    } else if (head.status == 200) {
      restart();
    } else {
      return false;
    }
    const std::string* length = head.header("content-length");
    const auto announced = length != nullptr ? parse_number(*length) : std::nullopt;
    if (announced && *announced != blob_.size_bytes - received_)
      fail(ExitCode::outside, "it is {} bytes long, not {} as promised", received_ + *announced,
           blob_.size_bytes);
    return true;
  }
  void take(const char* data, size_t size) {
    if (size > blob_.size_bytes - received_)
      fail(ExitCode::outside, "it is longer than the {} bytes promised", blob_.size_bytes);
    write_all(file_, data, size);
    hash_->update(data, size);
    received_ += size;
    work_.progress(blob_.digest, received_, blob_.size_bytes);
  }
  void restart() {
    if (ftruncate(file_, 0) != 0 || lseek(file_, 0, SEEK_SET) != 0)
      fail_errno("truncate a download");
    received_ = counted_ = 0;
    hash_ = std::make_unique<Sha256>();
  }
  void finish(const std::string& doing) {
    const std::string digest = "sha256:" + hash_->finish_hex();
    if (digest == blob_.digest) return;
    const std::string cause =
        fmt::format("{}: the content of {} has the digest {}", doing, blob_.digest, digest);
    restart();
    // Two halves of different things; a whole that is wrong stays wrong.
    if (std::exchange(resumed_, false)) throw Transient(cause);
    fail(ExitCode::outside, "{}", cause);
  }

  Work& work_;
  const oci::Descriptor& blob_;
  const int file_;
  uint64_t received_ = 0, counted_ = 0;
  bool resumed_ = false;
  std::unique_ptr<Sha256> hash_ = std::make_unique<Sha256>();
};

}  // namespace

void check_content(const oci::Descriptor& wanted, std::string_view bytes) {
  if (bytes.size() != wanted.size_bytes)
    fail(ExitCode::outside, "{} is {} bytes long, not {} as promised", wanted.digest, bytes.size(),
         wanted.size_bytes);
  if (const std::string digest = digest_of(bytes); digest != wanted.digest)
    fail(ExitCode::outside, "the content of {} has the digest {}", wanted.digest, digest);
}

Source::Source(Work& work, oci::Reference reference)
    : work_(work), reference_(std::move(reference)) {
  const auto add = [&](std::unique_ptr<Endpoint> endpoint) {
    places_.push_back(std::make_unique<Place>());
    places_.back()->endpoint = std::move(endpoint);
  };
  if (const auto mirrors = work.settings.mirrors.find(reference_.domain);
      mirrors != work.settings.mirrors.end())
    for (const std::string& address : mirrors->second) add(Endpoint::mirror(work, address));
  add(std::make_unique<Endpoint>(work, reference_.domain));
}

template <typename Ask>
auto Source::ask_each(Ask ask) {
  for (size_t i = 0; i + 1 < places_.size(); ++i) {
    Place& mirror = *places_[i];
    if (mirror.dead) continue;
    const std::string next =
        i + 2 < places_.size() ? "the next mirror" : places_.back()->endpoint->domain();
    const auto pass_over = [&](const Error& error) {
      work_.note(fmt::format("mirror {}: {}; going on with {}", mirror.endpoint->domain(),
                             error.what(), next));
    };
    try {
      return ask(*mirror.endpoint, nullptr);
    } catch (const Interrupted&) {
      throw;
    } catch (const NotFound&) {
      // A mirror need not have everything.
    } catch (const Transient& error) {
      mirror.dead = true;
      pass_over(error);
    } catch (const Error& error) {
      pass_over(error);
    }
  }
  Endpoint& registry = *places_.back()->endpoint;
  Patience patience(work_);
  while (true) {
    try {
      return ask(registry, &patience);
    } catch (const Transient& failure) {
      patience.after(failure);
    }
  }
}

Endpoint::Request Source::request(const Endpoint& endpoint, const std::string& kind,
                                  const std::string& name) const {
  const std::string repository = endpoint.prefix() + reference_.path;
  Endpoint::Request request;
  request.path = fmt::format("/v2/{}/{}/{}", repository, kind, name);
  request.scopes = {fmt::format("repository:{}:pull", repository)};
  request.follow_redirects = true;
  if (kind == "manifests")
    for (const char* type : {oci::media_type::index, oci::media_type::docker_list,
                             oci::media_type::manifest, oci::media_type::docker_manifest})
      request.headers.push_back(std::string("Accept: ") + type);
  return request;
}

void Source::refuse(Endpoint& endpoint, const Endpoint::Answer& answer) const {
  if (answer.reply.status != 404) endpoint.refuse(answer);
  NotFound error(ExitCode::outside, answer.refusal());
  error.set_hint(
      fmt::format("check the name and the tag; what is private may answer like this, too: "
                  "slipway login {}",
                  endpoint.domain()));
  throw error;
}

std::optional<oci::Descriptor> Source::look_up(Connection& connection, const std::string& name) {
  return ask_each([&](Endpoint& endpoint, Patience*) -> std::optional<oci::Descriptor> {
    Endpoint::Request ask = request(endpoint, "manifests", name);
    ask.method = "HEAD";
    const Endpoint::Answer answer = endpoint.send(connection, ask);
    if (answer.reply.status == 405 || answer.reply.status == 501) return std::nullopt;
    if (answer.reply.status != 200) refuse(endpoint, answer);
    const std::string* digest = answer.reply.header("docker-content-digest");
    const std::string* length = answer.reply.header("content-length");
    const auto size = length != nullptr ? parse_number(*length) : std::nullopt;
    const std::string type = media_type_of(answer.reply);
    if (digest == nullptr || !oci::is_digest(*digest) || !size || !is_document_type(type))
      return std::nullopt;
    if (oci::is_digest(name) && *digest != name)
      fail(ExitCode::outside, "{}: it answers for {} with {}", call_text("HEAD", answer.url), name,
           *digest);
    return oci::Descriptor{.media_type = type, .digest = *digest, .size_bytes = *size};
  });
}

Document Source::document(Connection& connection, const std::string& name,
                          const oci::Descriptor* expected) {
  if (expected != nullptr && expected->size_bytes > oci::document_bytes_max)
    fail(ExitCode::outside, "the manifest {} would be {} bytes long, at most {} are allowed",
         expected->digest, expected->size_bytes, oci::document_bytes_max);
  return ask_each([&](Endpoint& endpoint, Patience*) {
    Endpoint::Request ask = request(endpoint, "manifests", name);
    ask.body_max = oci::document_bytes_max;
    const Endpoint::Answer answer = endpoint.send(connection, ask);
    if (answer.reply.status != 200) refuse(endpoint, answer);
    try {
      Document found;
      found.bytes = answer.reply.body;
      found.descriptor.size_bytes = found.bytes.size();
      found.descriptor.digest = digest_of(found.bytes);
      if (expected != nullptr) check_content(*expected, found.bytes);
      const std::string* said = answer.reply.header("docker-content-digest");
      // Another algorithm's digest is neither right nor wrong.
      if (said != nullptr && starts_with(*said, "sha256:") && *said != found.descriptor.digest)
        fail(ExitCode::outside, "it is said to be {}, but its digest is {}",
             printable(said->substr(0, 100)), found.descriptor.digest);
      if (oci::is_digest(name) && found.descriptor.digest != name)
        fail(ExitCode::outside, "the content of {} has the digest {}", name,
             found.descriptor.digest);
      std::string type = media_type_of(answer.reply);
      if (!is_document_type(type)) type.clear();
      if (expected != nullptr && !type.empty() && type != expected->media_type)
        fail(ExitCode::outside, "it comes as '{}', but '{}' was promised", type,
             printable(expected->media_type));
      const oci::Document parsed =
          oci::parse_document(found.bytes, expected != nullptr ? expected->media_type : type);
      found.descriptor.media_type =
          parsed.index ? parsed.index->media_type : parsed.manifest->media_type;
      return found;
    } catch (Error& error) {
      throw error.add_context(call_text("GET", answer.url));
    }
  });
}

Document Source::small_blob(Connection& connection, const oci::Descriptor& blob,
                            uint64_t bytes_max) {
  if (blob.size_bytes > bytes_max)
    fail(ExitCode::outside, "{} would be {} bytes long, at most {} are allowed", blob.digest,
         blob.size_bytes, bytes_max);
  return ask_each([&](Endpoint& endpoint, Patience*) {
    Endpoint::Request ask = request(endpoint, "blobs", blob.digest);
    ask.body_max = bytes_max;
    const Endpoint::Answer answer = endpoint.send(connection, ask);
    if (answer.reply.status != 200) refuse(endpoint, answer);
    try {
      check_content(blob, answer.reply.body);
    } catch (Error& error) {
      throw error.add_context(call_text("GET", answer.url));
    }
    return Document{blob, answer.reply.body};
  });
}

void Source::foreign_blob(const oci::Descriptor& blob, int file) {
  for (size_t i = 0; i < blob.urls.size(); ++i) {
    auto url = fetch::parse_url(blob.urls[i]);
    const bool allowed =
        url && (url->scheme == "https" || (url->scheme == "http" && is_loopback(url->host)));
    const std::string shown = printable(fetch::public_url(blob.urls[i]));
    if (!allowed) fail(ExitCode::outside, "layer {}: '{}' is no https address", blob.digest, shown);
    // Whoever wrote the manifest chose the address: nothing of ours goes there (threat 14).
    url->userinfo.clear();
    fetch::HttpRequest request;
    request.url = url->to_string();
    request.checksum = blob.digest;
    request.size_max_bytes = blob.size_bytes;
    request.retries = work_.settings.retries;
    request.retry_delay = work_.settings.retry_delay;
    request.stall_limit = work_.settings.stall_limit;
    try {
      if (ftruncate(file, 0) != 0 || lseek(file, 0, SEEK_SET) != 0)
        fail_errno("truncate a download");
      (void)download(request, file, [&](const std::string&, uint64_t done, uint64_t) {
        work_.progress(blob.digest, done, blob.size_bytes);
      });
      return;
    } catch (const Error& error) {
      if (i + 1 == blob.urls.size()) throw;
      work_.note(fmt::format("{}: {}", shown, error.what()));
    }
  }
}

void Source::blob(Connection& connection, const oci::Descriptor& blob, int file) {
  const bool foreign =
      !blob.urls.empty() && (blob.media_type.find("foreign") != std::string::npos ||
                             blob.media_type.find("nondistributable") != std::string::npos);
  Transfer transfer(work_, blob, file);
  try {
    ask_each([&](Endpoint& endpoint, Patience* patience) {
      try {
        const Endpoint::Answer answer =
            transfer.attempt(endpoint, connection, request(endpoint, "blobs", blob.digest));
        if (answer.reply.status != 200 && answer.reply.status != 206) refuse(endpoint, answer);
      } catch (const Transient&) {
        if (transfer.progressed() && patience != nullptr) patience->reset();
        throw;
      }
    });
  } catch (const NotFound&) {
    if (!foreign) throw;
    foreign_blob(blob, file);
  }
}

}  // namespace slipway::netfetch
