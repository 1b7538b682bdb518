#include "archive/compress.h"
#include "archive/tar_header.h"
#include "base/error.h"

namespace slipway::archive {
namespace {

constexpr uint64_t chunk_min_bytes = 1 << 20;
constexpr uint64_t chunk_max_bytes = 8 << 20;
// With the minimum before it, chunks come out at 4 MiB on average.
constexpr uint64_t chunk_mean_after_min_bytes = 3 << 20;
constexpr uint64_t slice_bytes = 4 << 20;

// FNV-1a with a final mix: limits need an even spread, not strength.
uint64_t spread(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  hash ^= hash >> 30;
  hash *= 0xbf58476d1ce4e5b9ULL;
  hash ^= hash >> 27;
  hash *= 0x94d049bb133111ebULL;
  return hash ^ (hash >> 31);
}

bool is_limit(std::string_view path, uint64_t piece_bytes) {
  if (piece_bytes >= chunk_mean_after_min_bytes) return true;
  const uint64_t threshold = UINT64_MAX / chunk_mean_after_min_bytes * piece_bytes;
  return spread(path) < threshold;
}

// Length-prefixed fields of a chunk's key, hashed at once.
class KeyText {
 public:
  void number(uint64_t value) { text_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void bytes(std::string_view value) {
    number(value.size());
    text_.append(value);
  }
  void digest(const Digest& value) {
    text_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
  }
  std::string& text() { return text_; }
  Digest finish() {
    const Digest digest = hash_bytes(text_);
    text_.clear();
    return digest;
  }

 private:
  std::string text_;
};

class Planner {
 public:
  explicit Planner(const TarInput& input)
      : input_(input),
        members_(*input.members),
        compressor_(compressor_name(input.codec)),
        patch_(input.patches.begin()) {}

  TarPlan run() {
    const size_t count = members_.count();
    SLIPWAY_CHECK(count < UINT32_MAX);
    for (size_t i = 0; i < count; ++i) add_member(static_cast<uint32_t>(i));
    close();
    // A chunk of its own, so that the last members' chunk does not depend on being the last.
    TarPlan::Piece end;
    end.trailer = true;
    key_.bytes("end");
    part_.pieces.push_back(end);
    part_.raw_size = static_cast<uint32_t>(tar_trailer_bytes);
    close();
    return std::move(plan_);
  }

 private:
  void add_member(uint32_t index) {
    const uint64_t size = members_.content_size(index);
    SLIPWAY_CHECK(size == 0 || members_.content_digest(index));
    while (patch_ != input_.patches.end() && patch_->member < index) ++patch_;
    header_.clear();
    const uint64_t header_bytes = members_.describe_header(header_, index);
    TarPlan::Piece piece;
    piece.member = index;
    piece.header = true;
    if (size > slice_bytes && part_.raw_size >= chunk_min_bytes) close();
    do {
      piece.length = static_cast<uint32_t>(std::min(slice_bytes, size - piece.offset));
      const bool last = piece.offset + piece.length == size;
      piece.padding = last ? static_cast<uint32_t>(tar_padded(size) - size) : 0;
      add_piece(piece, header_bytes);
      piece.offset += piece.length;
      piece.header = false;
    } while (piece.offset < size);
  }

  void add_piece(const TarPlan::Piece& piece, uint64_t header_bytes) {
    const uint64_t bytes = (piece.header ? header_bytes : 0) + piece.length + piece.padding;
    if (part_.raw_size > 0 && part_.raw_size + bytes > chunk_max_bytes) close();
    part_.pieces.push_back(piece);
    part_.raw_size += static_cast<uint32_t>(bytes);
    add_to_key(piece);
    if (part_.raw_size >= chunk_min_bytes && is_limit(members_.path(piece.member), bytes)) close();
  }

  void add_to_key(const TarPlan::Piece& piece) {
    key_.number(piece.header ? 1 : 0);
    if (piece.header) key_.text().append(header_);
    key_.number(piece.length);
    key_.number(piece.padding);
    if (piece.length == 0) return;
    key_.digest(members_.content_digest(piece.member));
    key_.number(piece.offset);
    const bool patched = patch_ != input_.patches.end() && patch_->member == piece.member;
    key_.number(patched ? 1 : 0);
    if (patched) {
      key_.number(patch_->offset);
      key_.bytes(patch_->bytes);
    }
  }

  void close() {
    if (part_.pieces.empty()) return;
    key_.bytes(compressor_);
    part_.key = key_.finish();
    plan_.raw_size += part_.raw_size;
    plan_.chunks.push_back(std::move(part_));
    part_ = {};
  }

  const TarInput& input_;
  const TarMembers& members_;
  const std::string compressor_;
  std::vector<TarPatch>::const_iterator patch_;
  std::string header_;  // what decides the present member's header
  TarPlan plan_;
  TarPlan::Part part_;
  KeyText key_;
};

}  // namespace

TarPlan plan_tar(const TarInput& input) {
  SLIPWAY_CHECK(input.members != nullptr);
  return Planner(input).run();
}

TarPlan plan_tar(const TarSource& source) {
  const TreeMembers members(source.members, source.open_paths);
  return plan_tar(TarInput{.members = &members, .patches = source.patches});
}

}  // namespace slipway::archive
