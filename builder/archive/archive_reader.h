// Entries of a foreign archive (tar, cpio, zip; plain, gzip, bzip2, xz, zstd), read by libarchive
// from a stream that was decoded before (see decode.h). Cut or damaged input throws Error(outside).
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "archive/decode.h"
#include "archive/decode_ahead.h"

namespace slipway::archive {

// libarchive converts marked names (PAX records, zip's UTF-8 flag) through the thread's character
// set. A tar's must stay as they are: in the C locale it gives up on converting and keeps the bytes
// (in UTF-8 it would compose them, "e\u0301" to "\u00e9"). A zip's would be lost there.
class NameLocale {
 public:
  explicit NameLocale(bool utf8);
  ~NameLocale();
  NameLocale(const NameLocale&) = delete;
  NameLocale& operator=(const NameLocale&) = delete;

 private:
  locale_t own_, previous_{};
};

/// What an archive may be, beside readable.
struct ReaderRules {
  bool tar_only = false;
  /// A tar must end with its marker; the digest of an image's layer says as much.
  bool end_marker = true;
  /// Decode on a thread of its own, and hash all that was decoded. No positions then.
  bool ahead = false;
  bool sha256 = false;
  /// What is not compressed and can be sought in: members that are not read are passed over.
  bool seek_in_plain = false;
};

/// Registers its own address with libarchive, hence immovable. To be used by the thread that made
/// it.
class ArchiveReader {
 public:
  /// Reads `fd` from its current offset; seeks in it if it is a zip and can.
  explicit ArchiveReader(int fd, const ReaderRules& rules = {});
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;

  /// nullptr at the end, which was checked. `warning` gets libarchive's doubts about this entry.
  archive_entry* next(std::string& warning);
  /// The next block of the entry's content; false at its end. Blocks come in order; what lies
  /// between them is zero.
  bool next_block(const void*& data, size_t& size, int64_t& offset);

  /// Read from the descriptor so far (read-ahead not counted, zip: counted).
  uint64_t compressed_bytes() const;
  /// Where the entry's headers start in the decoded stream; at the end: where the last one stopped.
  uint64_t header_position() const;
  /// Keeps what compressed_at() needs; before the first next(). Streams only.
  void track_positions();
  /// Compressed bytes that gave the first `decoded` bytes, interpolated within 4 KiB of them.
  /// Asked with growing positions that were read already; what lies before is forgotten.
  uint64_t compressed_at(uint64_t decoded);
  /// Known at the end: other bytes follow the compressed stream.
  bool trailing_garbage() const { return decoder_ && decoder_->trailing_garbage(); }
  bool is_tar() const;
  /// With rules.sha256, at the end: of all decoded bytes, hex digits.
  std::string sha256();
  /// False when the bytes were no gzip, bzip2, xz or zstd.
  bool is_compressed() const { return decoder_ && decoder_->compressed(); }

 private:
  struct Deleter {
    void operator()(struct archive* handle) const { archive_read_free(handle); }
  };
  static la_ssize_t read_decoded(struct archive* handle, void* self, const void** data);
  static la_ssize_t read_direct(struct archive* handle, void* self, const void** data);
  static la_int64_t seek_direct(struct archive* handle, void* self, la_int64_t offset, int whence);
  void rethrow();
  void finish();
  [[noreturn]] void fail_damaged();

  int fd_;
  const ReaderRules rules_;
  InputFile input_;
  std::optional<NameLocale> locale_;
  std::unique_ptr<Decoder> decoder_;  // none: read from fd_ with seeking
  DecodeAhead* ahead_ = nullptr;      // the same, if it is one
  off_t base_ = 0;
  uint64_t direct_read_bytes_ = 0;
  struct Mark {
    uint64_t decoded = 0, compressed = 0;
  };
  bool opened_ = false, tracking_ = false;
  Mark passed_;             // the last mark at or before the position asked last
  std::deque<Mark> marks_;  // those after it
  std::unique_ptr<char[]> buffer_;
  std::exception_ptr failure_;
  std::unique_ptr<struct archive, Deleter> handle_;
};

}  // namespace slipway::archive
