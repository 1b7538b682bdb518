#include "archive/archive_reader.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/fd.h"

namespace slipway::archive {
namespace {

constexpr size_t block_bytes = 64 << 10;
// Padding is 10 KiB usually, a tape's record at most; what is longer is a bomb (threat 21).
constexpr uint64_t following_max_bytes = 256 << 20;

// libarchive is C: an exception may not cross it, so it waits in `failure`.
template <typename Call>
la_ssize_t guarded(struct archive* handle, std::exception_ptr& failure, Call call) {
  try {
    return call();
  } catch (...) {
    failure = std::current_exception();
    archive_set_error(handle, EIO, "reading failed");
    return ARCHIVE_FATAL;
  }
}

}  // namespace

NameLocale::NameLocale(bool utf8)
    : own_(newlocale(LC_CTYPE_MASK, utf8 ? "C.UTF-8" : "C", locale_t{})) {
  if (own_ == locale_t{}) fail_errno("this system lacks the locale C.UTF-8");
  previous_ = uselocale(own_);
}

NameLocale::~NameLocale() {
  uselocale(previous_);
  freelocale(own_);
}

ArchiveReader::ArchiveReader(int fd, const ReaderRules& rules)
    : fd_(fd),
      rules_(rules),
      input_(fd),
      buffer_(new char[block_bytes]),
      handle_(archive_read_new()) {
  if (!handle_) throw std::bad_alloc();
  archive_read_support_format_tar(handle_.get());
  if (rules.tar_only) {
    // A tar of nothing, without even its end marker.
    archive_read_support_format_empty(handle_.get());
  } else {
    archive_read_support_format_cpio(handle_.get());
    archive_read_support_format_zip(handle_.get());
  }
  archive_read_set_callback_data(handle_.get(), this);
  const std::string_view start = input_.peek(4);
  if (start.empty() && !rules.tar_only) fail(ExitCode::outside, "the archive is empty");
  const bool is_zip = !rules.tar_only && start.substr(0, 2) == "PK";
  locale_.emplace(is_zip);
  if (!is_zip) decoder_ = make_decoder(input_);
  const off_t offset = lseek(fd, 0, SEEK_CUR);
  const bool seeks = is_zip || (rules.seek_in_plain && !decoder_->compressed());
  if (seeks && offset >= 0) {
    decoder_.reset();
    // A zip's modes and links stand in its directory at the end.
    base_ = offset - static_cast<off_t>(input_.available().size());
    if (lseek(fd, base_, SEEK_SET) != base_) fail_errno("seek in the archive");
    archive_read_set_read_callback(handle_.get(), read_direct);
    archive_read_set_seek_callback(handle_.get(), seek_direct);
  } else {
    if (!decoder_) decoder_ = make_decoder(input_);  // a zip from a pipe
    if (rules.ahead || rules.sha256) {
      auto ahead = std::make_unique<DecodeAhead>(std::move(decoder_), rules.sha256);
      ahead_ = ahead.get();
      decoder_ = std::move(ahead);
    }
    archive_read_set_read_callback(handle_.get(), read_decoded);
  }
}

archive_entry* ArchiveReader::next(std::string& warning) {
  if (!opened_) {
    // Looks at the first blocks already, hence not before all is set.
    opened_ = true;
    if (archive_read_open1(handle_.get()) != ARCHIVE_OK) fail_damaged();
  }
  archive_entry* entry = nullptr;
  const int status = archive_read_next_header(handle_.get(), &entry);
  rethrow();
  if (status == ARCHIVE_EOF) {
    finish();
    return nullptr;
  }
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail_damaged();
  const char* text = status == ARCHIVE_WARN ? archive_error_string(handle_.get()) : nullptr;
  warning = text != nullptr ? text : "";
  // Such names are kept as they are, see NameLocale.
  if (warning.find("can't be converted") != std::string::npos) warning.clear();
  return entry;
}

bool ArchiveReader::next_block(const void*& data, size_t& size, int64_t& offset) {
  const int status = archive_read_data_block(handle_.get(), &data, &size, &offset);
  rethrow();
  if (status == ARCHIVE_EOF) return false;
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail_damaged();
  return true;
}

uint64_t ArchiveReader::compressed_bytes() const {
  return decoder_ ? input_.consumed() : direct_read_bytes_;
}

uint64_t ArchiveReader::header_position() const {
  return static_cast<uint64_t>(archive_read_header_position(handle_.get()));
}

void ArchiveReader::track_positions() {
  SLIPWAY_CHECK(ahead_ == nullptr);
  tracking_ = true;
  if (!decoder_) return;
  decoder_->on_decoded = [this](uint64_t decoded) {
    if (marks_.empty() || marks_.back().decoded < decoded)
      marks_.push_back({decoded, input_.consumed()});
    else
      marks_.back().compressed = input_.consumed();
  };
}

uint64_t ArchiveReader::compressed_at(uint64_t decoded) {
  SLIPWAY_CHECK(tracking_ && decoded >= passed_.decoded);
  while (!marks_.empty() && marks_.front().decoded <= decoded) {
    passed_ = marks_.front();
    marks_.pop_front();
  }
  if (marks_.empty()) return passed_.compressed;
  const Mark& next = marks_.front();
  return passed_.compressed + (next.compressed - passed_.compressed) * (decoded - passed_.decoded) /
                                  (next.decoded - passed_.decoded);
}

bool ArchiveReader::is_tar() const {
  return (archive_format(handle_.get()) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
}

std::string ArchiveReader::sha256() {
  SLIPWAY_CHECK(ahead_ != nullptr);
  return ahead_->sha256();
}

la_ssize_t ArchiveReader::read_decoded(struct archive* handle, void* self, const void** data) {
  auto& own = *static_cast<ArchiveReader*>(self);
  *data = own.buffer_.get();
  return guarded(handle, own.failure_, [&] {
    return static_cast<la_ssize_t>(own.decoder_->read(own.buffer_.get(), block_bytes));
  });
}

la_ssize_t ArchiveReader::read_direct(struct archive* handle, void* self, const void** data) {
  auto& own = *static_cast<ArchiveReader*>(self);
  *data = own.buffer_.get();
  return guarded(handle, own.failure_, [&] {
    const size_t count = read_some(own.fd_, own.buffer_.get(), block_bytes);
    own.direct_read_bytes_ += count;
    return static_cast<la_ssize_t>(count);
  });
}

la_int64_t ArchiveReader::seek_direct(struct archive*, void* self, la_int64_t offset, int whence) {
  auto& own = *static_cast<ArchiveReader*>(self);
  const off_t target = whence == SEEK_SET ? own.base_ + offset : offset;
  const off_t reached = lseek(own.fd_, target, whence);
  return reached < own.base_ ? ARCHIVE_FATAL : reached - own.base_;
}

void ArchiveReader::rethrow() {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ArchiveReader::finish() {
  // A tar's end marker is consumed by the failed search for another header.
  const bool at_marker =
      archive_filter_bytes(handle_.get(), 0) > archive_read_header_position(handle_.get());
  if (is_tar() && !at_marker && rules_.end_marker)
    fail(ExitCode::outside, "the tar ends without its end marker: it was cut short");
  if (!decoder_) return;
  // Checksums of the compressed stream come after the tar's own end.
  uint64_t following = 0;
  while (const size_t count = decoder_->read(buffer_.get(), block_bytes)) {
    following += count;
    if (following > following_max_bytes)
      fail(ExitCode::outside, "more than {} MiB follow the end of the archive",
           following_max_bytes >> 20);
  }
}

void ArchiveReader::fail_damaged() {
  rethrow();
  const char* text = archive_error_string(handle_.get());
  fail(ExitCode::outside, "the archive is damaged, cut short or of an unknown format ({})",
       text != nullptr ? text : "no reason given");
}

}  // namespace slipway::archive
