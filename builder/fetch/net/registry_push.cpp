#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "fetch/wire.h"
#include "netfetch/registry.h"
#include "netfetch/registry_source.h"
#include "netfetch/registry_upload.h"

namespace slipway::netfetch {
namespace {

struct PushedBlob {
  oci::Descriptor descriptor;
  std::vector<std::string> mount_from;
  size_t index = 0;  ///< in the request
};

class Push {
 public:
  Push(Work& work, const Json& request, int channel)
      : work_(work),
        reference_(fetch::reference_from_wire(request.at("reference"))),
        endpoint_(work, reference_.domain),
        giver_(channel),
        connection_(&work.stopped()) {
    if (!reference_.tag.empty()) tags_.push_back(reference_.tag);
    for (const std::string tag : request.at("more_tags")) {
      if (!oci::is_tag(tag)) fail(ExitCode::usage, "'{}' is no tag", printable(tag));
      tags_.push_back(tag);
    }
    std::set<std::string> seen;
    const Json& list = request.at("blobs");
    for (size_t i = 0; i < list.size(); ++i) {
      PushedBlob blob{fetch::descriptor_from_wire(list[i].at("descriptor")),
                      list[i].at("mount_from"), i};
      if (seen.insert(blob.descriptor.digest).second) blobs_.push_back(std::move(blob));
    }
    const int file = request.at("documents_fd");
    for (const Json& item : request.at("documents")) {
      Document document;
      document.bytes.resize(item.at("size").get<size_t>());
      read_exact(file, document.bytes.data(), document.bytes.size());
      document.descriptor.media_type = item.at("media_type");
      document.descriptor.digest = "sha256:" + sha256_hex(document.bytes);
      document.descriptor.size_bytes = document.bytes.size();
      documents_.push_back(std::move(document));
    }
    if (documents_.empty()) fail(ExitCode::machine, "a push without a manifest");
  }

  Json run() {
    // What refers to a blob is there only when the blob is (N4), so known documents need none.
    std::vector<bool> there;
    bool all = true;
    for (const Document& document : documents_) {
      there.push_back(names(document.descriptor.digest, document));
      all = all && there.back();
    }
    if (all)
      present_ = blobs_.size();
    else
      push_blobs();
    for (size_t i = 0; i + 1 < documents_.size(); ++i)
      if (!there[i]) put(documents_[i], documents_[i].descriptor.digest);
    const Document& top = documents_.back();
    if (tags_.empty() && !there.back()) put(top, top.descriptor.digest);
    for (const std::string& tag : tags_)
      if (!there.back() || !names(tag, top)) put(top, tag);
    return {{"digest", top.descriptor.digest},
            {"uploaded_bytes", uploaded_bytes_.load()},
            {"uploaded", uploaded_.load()},
            {"mounted", mounted_.load()},
            {"present", present_.load()}};
  }

 private:
  Endpoint::Request request(const std::string& method, const std::string& name) const {
    Endpoint::Request request;
    request.method = method;
    request.path = fmt::format("/v2/{}/manifests/{}", reference_.path, name);
    request.scopes = {fmt::format("repository:{}:pull,push", reference_.path)};
    return request;
  }

  /// Whether a tag or digest stands for the document now.
  bool names(const std::string& name, const Document& document) {
    return with_patience(work_, [&] {
      Endpoint::Request head = request("HEAD", name);
      head.headers = {"Accept: " + document.descriptor.media_type};
      const Endpoint::Answer answer = endpoint_.send(connection_, head);
      if (answer.reply.status == 403) endpoint_.refuse(answer);
      const std::string* digest = answer.reply.header("docker-content-digest");
      return answer.reply.status == 200 && digest != nullptr &&
             *digest == document.descriptor.digest;
    });
  }

  void push_blobs() {
    run_parallel(work_, blobs_.size(), [&](size_t i, Connection& connection) {
      const PushedBlob& blob = blobs_[i];
      Upload upload(work_, endpoint_, reference_.path, blob.descriptor, blob.index, giver_);
      switch (upload.run(connection, blob.mount_from)) {
        case Pushed::present:
          ++present_;
          break;
        case Pushed::mounted:
          ++mounted_;
          break;
        case Pushed::uploaded:
          ++uploaded_;
          uploaded_bytes_ += blob.descriptor.size_bytes;
          break;
      }
    });
  }

  void put(const Document& document, const std::string& name) {
    const Endpoint::Answer answer = put_bytes(document, name);
    const std::optional<oci::Descriptor> subject = subject_of(document);
    // The registry says so when it keeps the list of referrers itself (N5).
    if (subject && answer.reply.header("oci-subject") == nullptr) list_referrer(document, *subject);
  }

  Endpoint::Answer put_bytes(const Document& document, const std::string& name) {
    return with_patience(work_, [&] {
      Endpoint::Request put = request("PUT", name);
      put.headers = {"Content-Type: " + document.descriptor.media_type};
      put.body = document.bytes;
      Endpoint::Answer answer = endpoint_.send(connection_, put);
      if (answer.reply.status < 200 || answer.reply.status >= 300) endpoint_.refuse(answer);
      const std::string* digest = answer.reply.header("docker-content-digest");
      if (digest != nullptr && starts_with(*digest, "sha256:") &&
          *digest != document.descriptor.digest)
        fail(ExitCode::outside, "{}: the registry keeps {} in place of {}",
             call_text("PUT", answer.url), printable(digest->substr(0, 100)),
             document.descriptor.digest);
      return answer;
    });
  }

  static std::optional<oci::Descriptor> subject_of(const Document& document) {
    if (!oci::is_manifest_type(document.descriptor.media_type)) return std::nullopt;
    const oci::Document parsed =
        oci::parse_document(document.bytes, document.descriptor.media_type);
    return parsed.manifest->subject;
  }

  void list_referrer(const Document& document, const oci::Descriptor& subject) {
    const oci::Manifest manifest =
        *oci::parse_document(document.bytes, document.descriptor.media_type).manifest;
    std::string tag = subject.digest;
    std::replace(tag.begin(), tag.end(), ':', '-');
    oci::Index index;
    try {
      Source source(work_, {reference_.domain, reference_.path, tag, ""});
      const Document old = source.document(connection_, tag);
      const oci::Document parsed = oci::parse_document(old.bytes, old.descriptor.media_type);
      if (parsed.index) index = *parsed.index;
    } catch (const NotFound&) {
      // The first one.
    }
    for (const oci::Descriptor& entry : index.manifests)
      if (entry.digest == document.descriptor.digest) return;
    oci::Descriptor entry = document.descriptor;
    entry.artifact_type =
        manifest.artifact_type.empty() ? manifest.config.media_type : manifest.artifact_type;
    entry.annotations = manifest.annotations;
    index.manifests.push_back(entry);
    Document list;
    list.bytes = oci::serialize_index(index);
    list.descriptor.media_type = oci::media_type::index;
    list.descriptor.digest = "sha256:" + sha256_hex(list.bytes);
    list.descriptor.size_bytes = list.bytes.size();
    (void)put_bytes(list, tag);
  }

  Work& work_;
  const oci::Reference reference_;
  Endpoint endpoint_;
  BlobGiver giver_;
  Connection connection_;
  std::vector<std::string> tags_;
  std::vector<PushedBlob> blobs_;
  std::vector<Document> documents_;
  std::atomic<size_t> present_{0}, mounted_{0}, uploaded_{0};
  std::atomic<uint64_t> uploaded_bytes_{0};
};

}  // namespace

Json push_image(Work& work, const Json& request, int channel) {
  return Push(work, request, channel).run();
}

}  // namespace slipway::netfetch
