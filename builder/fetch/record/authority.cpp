#include "record/authority.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/files.h"
#include "cache/layout.h"
#include "record/message.h"

namespace slipway::record {
namespace {

constexpr const char* file_name = "recorder-ca.pem";
constexpr const char* lock_name = "recorder authority";
constexpr long day_s = 24 * 3600;
constexpr long authority_days = 3650;
constexpr long leaf_days = 90;
constexpr long renew_before_days = 180;
constexpr size_t contexts_max = 2000;
constexpr size_t file_bytes_max = 64 << 10;

template <auto release>
struct Release {
  template <typename Type>
  void operator()(Type* object) const {
    release(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Release<X509_free>>;
using Context = std::unique_ptr<SSL_CTX, Release<SSL_CTX_free>>;
using Memory = std::unique_ptr<BIO, Release<BIO_vfree>>;

[[noreturn]] void fail_openssl(const std::string& doing) {
  char text[256] = "";
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  fail(ExitCode::machine, "{}: OpenSSL: {}", doing, text);
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"));
  if (!key) fail_openssl("make a key");
  return key;
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  const bool good = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  if (!good) fail_openssl("make a certificate");
}

Certificate make_certificate(EVP_PKEY* key, const std::string& name, long days) {
  Certificate made(X509_new());
  uint8_t serial[16];
  if (!made || RAND_bytes(serial, sizeof serial) != 1) fail_openssl("make a certificate");
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  const bool numbered =
      number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(made.get())) != nullptr;
  BN_free(number);
  X509_NAME* subject = X509_get_subject_name(made.get());
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  // A day back: a step's clock may be a little behind ours.
  const bool good =
      numbered && X509_set_version(made.get(), 2) == 1 &&
      X509_gmtime_adj(X509_getm_notBefore(made.get()), -day_s) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(made.get()), days * day_s) != nullptr &&
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, -1, -1, 0) == 1 &&
      X509_set_pubkey(made.get(), key) == 1;
  if (!good) fail_openssl("make a certificate");
  return made;
}

std::string pem_of(const std::function<int(BIO*)>& write) {
  const Memory memory(BIO_new(BIO_s_mem()));
  if (!memory || write(memory.get()) != 1) fail_openssl("write a certificate");
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

bool is_address(std::string_view host) {
  if (host.starts_with('[')) return true;
  return !host.empty() && std::all_of(host.begin(), host.end(),
                                      [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

}  // namespace

bool is_host_name(std::string_view host) {
  if (host.size() > 2 && host.starts_with('[') && host.ends_with(']'))
    return host.substr(1, host.size() - 2).find_first_not_of("0123456789abcdefABCDEF:.") ==
           std::string_view::npos;
  return !host.empty() && host.size() <= 253 && host.front() != '-' && host.front() != '.' &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' ||
                  c == '_';
         });
}

struct Authority::Parts {
  Key key;
  Certificate certificate;
  Key leaf_key;  ///< of all hosts: they are one server, ours
  std::map<std::string, Context> contexts;

  bool read(const std::string& pem) {
    const Memory key_text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const Memory text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    key.reset(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
    certificate.reset(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    if (!key || !certificate || X509_check_private_key(certificate.get(), key.get()) != 1)
      return false;
    time_t soon = time(nullptr) + renew_before_days * day_s;
    return X509_cmp_current_time(X509_get0_notBefore(certificate.get())) < 0 &&
           X509_cmp_time(X509_get0_notAfter(certificate.get()), &soon) > 0;
  }
  void make() {
    key = make_key();
    certificate = make_certificate(key.get(), "Slipway recorder of one store", authority_days);
    X509* const own = certificate.get();
    if (X509_set_issuer_name(own, X509_get_subject_name(own)) != 1)
      fail_openssl("make an authority");
    add_extension(own, own, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(own, own, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(own, own, NID_subject_key_identifier, "hash");
    if (X509_sign(own, key.get(), EVP_sha256()) <= 0) fail_openssl("make an authority");
  }
  Context make_context(const std::string& host) const {
    // A CN holds 64 characters; clients look at the alternative name only.
    Certificate leaf =
        make_certificate(leaf_key.get(), host.size() <= 64 ? host : "recorded", leaf_days);
    X509* const own = leaf.get();
    if (X509_set_issuer_name(own, X509_get_subject_name(certificate.get())) != 1)
      fail_openssl("make a certificate");
    const std::string bare = host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
    add_extension(own, certificate.get(), NID_basic_constraints, "critical,CA:FALSE");
    add_extension(own, certificate.get(), NID_key_usage, "critical,digitalSignature");
    add_extension(own, certificate.get(), NID_ext_key_usage, "serverAuth");
    add_extension(own, certificate.get(), NID_authority_key_identifier, "keyid");
    add_extension(own, certificate.get(), NID_subject_alt_name,
                  (is_address(host) ? "IP:" : "DNS:") + bare);
    if (X509_sign(own, key.get(), EVP_sha256()) <= 0) fail_openssl("make a certificate");
    Context context(SSL_CTX_new(TLS_server_method()));
    if (!context || SSL_CTX_use_certificate(context.get(), own) != 1 ||
        SSL_CTX_use_PrivateKey(context.get(), leaf_key.get()) != 1)
      fail_openssl("serve a certificate");
    return context;
  }
};

namespace {

int choose_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in,
                    unsigned int in_size, void*) {
  static constexpr unsigned char offered[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, size, offered, sizeof offered - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

void set_options(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Both ends are on this machine: the fastest cipher of the common ones.
  SSL_CTX_set_ciphersuites(
      context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  // One ticket will do: each costs a client's first read.
  SSL_CTX_set_num_tickets(context, 1);
}

}  // namespace

Authority::Authority(cache::Store& store) : parts_(std::make_unique<Parts>()) {
  const fs::path file = store.root() / file_name;
  const cache::Lock lock = store.lock(lock_name);
  const auto pem = read_file_if_exists(file, file_bytes_max);
  if (!pem || !parts_->read(*pem)) {
    parts_->make();
    cache::write_private_file(
        file,
        pem_of([&](BIO* out) {
          return PEM_write_bio_PrivateKey(out, parts_->key.get(), nullptr, nullptr, 0, nullptr,
                                          nullptr);
        }) + pem_of([&](BIO* out) { return PEM_write_bio_X509(out, parts_->certificate.get()); }));
  }
  certificate_pem_ =
      pem_of([&](BIO* out) { return PEM_write_bio_X509(out, parts_->certificate.get()); });
  parts_->leaf_key = make_key();
}
Authority::~Authority() = default;

SSL_CTX* Authority::context(const std::string& host) {
  const std::string name = is_host_name(host) ? lower_case(host) : "recorded.invalid";
  const std::lock_guard lock(mutex_);
  auto& known = parts_->contexts;
  const auto found = known.find(name);
  if (found != known.end()) return found->second.get();
  // A step that asks for names without end gets one that fits none of them.
  if (known.size() >= contexts_max) return known.begin()->second.get();
  Context made = parts_->make_context(name);
  set_options(made.get());
  // SSL_CTX_set_tlsext_servername_callback() without its old-style cast.
  SSL_CTX_callback_ctrl(made.get(), SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                        reinterpret_cast<void (*)()>(&Authority::choose_context));
  SSL_CTX_set_tlsext_servername_arg(made.get(), this);
  return known.emplace(name, std::move(made)).first->second.get();
}

int Authority::choose_context(SSL* tls, int*, void* self) {
  const char* name = SSL_get_servername(tls, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  try {
    SSL_set_SSL_CTX(tls, static_cast<Authority*>(self)->context(name));
    return SSL_TLSEXT_ERR_OK;
  } catch (const std::exception&) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
}

}  // namespace slipway::record
