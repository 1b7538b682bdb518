#include "archive/decode.h"

#include <archive.h>
#include <archive_entry.h>
#include <isa-l/igzip_lib.h>

#include <cstring>

#include "base/error.h"
#include "base/fd.h"

namespace slipway::archive {
namespace {

constexpr size_t input_buffer_bytes = 256 << 10;
constexpr size_t tracked_input_bytes = 4 << 10;
constexpr std::string_view gzip_magic = "\x1f\x8b";
constexpr std::string_view bzip2_magic = "BZh";
constexpr std::string_view xz_magic(
    "\xfd"
    "7zXZ\0",
    6);
constexpr std::string_view zstd_magic("\x28\xb5\x2f\xfd", 4);

class PlainDecoder : public Decoder {
 public:
  explicit PlainDecoder(InputFile& input) : input_(input) {}
  size_t read(char* out, size_t size) override {
    const std::string_view bytes = input_.available().substr(0, size);
    std::memcpy(out, bytes.data(), bytes.size());
    input_.consume(bytes.size());
    decoded_ += bytes.size();
    if (on_decoded) on_decoded(decoded_);
    return bytes.size();
  }
  bool compressed() const override { return false; }

 private:
  InputFile& input_;
  uint64_t decoded_ = 0;
};

class GzipDecoder : public Decoder {
 public:
  explicit GzipDecoder(InputFile& input) : input_(input), state_(new inflate_state) {
    start_member();
  }

  size_t read(char* out, size_t size) override {
    if (ended_ || size == 0) return 0;
    state_->next_out = reinterpret_cast<uint8_t*>(out);
    state_->avail_out = static_cast<uint32_t>(std::min<size_t>(size, UINT32_MAX));
    const uint32_t wanted = state_->avail_out;
    while (state_->avail_out == wanted) {
      if (state_->block_state == ISAL_BLOCK_FINISH && !next_member()) break;
      std::string_view bytes = input_.available();
      if (on_decoded) bytes = bytes.substr(0, tracked_input_bytes);
      // What the decoder took before may still give output without new input.
      state_->next_in =
          reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));  // ISA-L only reads it
      state_->avail_in = static_cast<uint32_t>(bytes.size());
      const int status = isal_inflate(state_.get());
      if (status < 0) fail(ExitCode::outside, "the gzip stream is damaged ({})", problem(status));
      if (status == ISAL_NEED_DICT) fail(ExitCode::outside, "the gzip stream needs a dictionary");
      const size_t used = bytes.size() - state_->avail_in;
      input_.consume(used);
      if (on_decoded && used > 0) {
        // ISA-L decodes into a buffer of its own first.
        const int pending = state_->tmp_out_valid - state_->tmp_out_processed;
        on_decoded(decoded_ + (wanted - state_->avail_out) + static_cast<uint64_t>(pending));
      }
      if (used > 0 || state_->avail_out < wanted || state_->block_state == ISAL_BLOCK_FINISH)
        continue;
      if (bytes.empty()) fail(ExitCode::outside, "the gzip stream ends early: it was cut short");
      fail(ExitCode::outside, "the gzip stream is damaged (no progress)");
    }
    decoded_ += wanted - state_->avail_out;
    return wanted - state_->avail_out;
  }

  bool trailing_garbage() const override { return garbage_; }

 private:
  void start_member() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

  // ISA-L reads whole words ahead; what it did not use belongs to the next member.
  bool next_member() {
    SLIPWAY_CHECK(state_->read_in_length / 8 == 0);
    uint8_t* const out = state_->next_out;
    const uint32_t room = state_->avail_out;
    const std::string_view next = input_.peek(gzip_magic.size());
    if (next != gzip_magic) {
      garbage_ = !next.empty();
      ended_ = true;
      return false;
    }
    start_member();
    state_->next_out = out;
    state_->avail_out = room;
    return true;
  }

  static const char* problem(int status) {
    switch (status) {
      case ISAL_INCORRECT_CHECKSUM:
        return "wrong checksum";
      case ISAL_INVALID_WRAPPER:
        return "bad header";
      case ISAL_UNSUPPORTED_METHOD:
        return "unknown method";
      default:
        return "bad data";
    }
  }

  InputFile& input_;
  std::unique_ptr<inflate_state> state_;
  uint64_t decoded_ = 0;
  bool ended_ = false, garbage_ = false;
};

struct ReaderDeleter {
  void operator()(struct archive* handle) const { archive_read_free(handle); }
};

// libarchive's filters without a format. Registers its own address, hence immovable.
class FilterDecoder : public Decoder {
 public:
  using Support = int (*)(struct archive*);
  FilterDecoder(InputFile& input, Support support) : input_(input), handle_(archive_read_new()) {
    if (!handle_) throw std::bad_alloc();
    archive_read_support_format_raw(handle_.get());
    support(handle_.get());
    archive_read_set_callback_data(handle_.get(), this);
    archive_read_set_read_callback(handle_.get(), read_input);
    archive_entry* entry = nullptr;
    if (archive_read_open1(handle_.get()) != ARCHIVE_OK ||
        archive_read_next_header(handle_.get(), &entry) != ARCHIVE_OK)
      fail_damaged();
  }
  FilterDecoder(const FilterDecoder&) = delete;
  FilterDecoder& operator=(const FilterDecoder&) = delete;

  size_t read(char* out, size_t size) override {
    const la_ssize_t count = archive_read_data(handle_.get(), out, size);
    if (count < 0) fail_damaged();
    decoded_ += static_cast<uint64_t>(count);
    if (on_decoded) on_decoded(decoded_);
    return static_cast<size_t>(count);
  }

 private:
  static la_ssize_t read_input(struct archive*, void* self, const void** data) {
    auto& own = *static_cast<FilterDecoder*>(self);
    own.input_.consume(own.handed_out_);
    const std::string_view bytes = own.input_.available();
    own.handed_out_ = bytes.size();
    *data = bytes.data();
    return static_cast<la_ssize_t>(bytes.size());
  }

  [[noreturn]] void fail_damaged() {
    const char* text = archive_error_string(handle_.get());
    fail(ExitCode::outside, "the compressed stream is damaged or cut short ({})",
         text != nullptr ? text : "no reason given");
  }

  InputFile& input_;
  uint64_t decoded_ = 0;
  size_t handed_out_ = 0;
  std::unique_ptr<struct archive, ReaderDeleter> handle_;
};

}  // namespace

InputFile::InputFile(int fd) : fd_(fd), buffer_(new char[input_buffer_bytes]) {}

bool InputFile::fill() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == input_buffer_bytes) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  const size_t count = read_some(fd_, buffer_.get() + end_, input_buffer_bytes - end_);
  end_ += count;
  return count > 0;
}

std::string_view InputFile::peek(size_t size) {
  SLIPWAY_CHECK(size <= input_buffer_bytes / 4);
  while (end_ - begin_ < size && fill()) {
  }
  return std::string_view(buffer_.get() + begin_, end_ - begin_).substr(0, size);
}

std::string_view InputFile::available() {
  if (begin_ == end_) (void)fill();
  return {buffer_.get() + begin_, end_ - begin_};
}

void InputFile::consume(size_t size) {
  SLIPWAY_CHECK(size <= end_ - begin_);
  begin_ += size;
  consumed_.store(consumed() + size, std::memory_order_relaxed);
}

std::unique_ptr<Decoder> make_decoder(InputFile& input) {
  const std::string_view start = input.peek(8);
  const auto is = [&](std::string_view magic) { return start.substr(0, magic.size()) == magic; };
  if (is(gzip_magic)) return std::make_unique<GzipDecoder>(input);
  if (is(bzip2_magic))
    return std::make_unique<FilterDecoder>(input, archive_read_support_filter_bzip2);
  if (is(xz_magic)) return std::make_unique<FilterDecoder>(input, archive_read_support_filter_xz);
  if (is(zstd_magic))
    return std::make_unique<FilterDecoder>(input, archive_read_support_filter_zstd);
  return std::make_unique<PlainDecoder>(input);
}

}  // namespace slipway::archive
