// The download cache: what servers answered, kept so that a build can be replayed. Bodies are blobs
// of the store (content-addressed, shared, dropped by gc when long unused); the table `downloads`
// of the index says which request got which answer. Rows are never changed, a newer answer is a
// newer row, so that a build's record can name the ones it was given.
//
//   partial/locks             empty; who brings an answer holds the byte whose number is the
//                             identity's first 56 bits: a lock that costs no inode
//   partial/<identity>        a long body on its way; kept when who brings it dies, so that the
//                             transfer can be resumed
//   partial/<identity>.head   what its answer said (JSON), beside it once the body has begun
//
// Nothing here is a secret: keys are keyed hashes, URLs and headers come redacted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/fd.h"
#include "base/json.h"
#include "cache/store.h"

namespace slipway::cache {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// One answer as it is kept.
struct Download {
  uint64_t id = 0;      ///< of the row; grows with time; 0 = not kept yet
  Digest key;           ///< of the request: Downloads::key()
  std::string variant;  ///< what else of the request decided the answer (Vary), as text
  int status = 0;
  Headers headers;     ///< names in lower case; only what clients need, no secrets
  std::string sha256;  ///< of the body; empty = the answer has none
  uint64_t size_bytes = 0;
  std::string url;                        ///< for people: query values redacted
  std::string requester;                  ///< the step that asked first
  int64_t recorded_s = 0, checked_s = 0;  ///< since 1970; checked: the server said it is the same
  bool pinned = false;                    ///< given by hand: served without asking any server
};

/// A body on its way to the store, held by this object alone. Dropping it lets go and leaves the
/// file for whoever resumes; discard() removes it.
class Partial {
 public:
  Partial(Partial&&) noexcept = default;
  Partial& operator=(Partial&&) noexcept = default;
  /// The file; made when there is none.
  int fd();
  uint64_t size_bytes() const;
  /// What set_head() kept, unless there is none or it cannot be read.
  std::optional<Json> head() const;
  void set_head(const Json& head);
  /// Away with what is there: it belongs to another answer. Others may go on reading it.
  void restart();
  void discard();

 private:
  friend class Downloads;
  Partial(int directory, std::string name, Fd lock);
  Fd directory_;
  std::string name_;
  Fd lock_, file_;
};

/// An answer to be kept, with its body: a text, or what is in the partial.
struct Finished {
  Download download;
  std::string body;
  bool body_in_partial = false;
  std::optional<Partial> partial;  ///< let go of, and removed, once the answer is visible
};

/// Thread-safe. Must not outlive the store.
class Downloads {
 public:
  /// Removes partials that nobody touched for a week.
  explicit Downloads(Store& store);

  /// The key of a request. `text` may hold secrets: they cannot be guessed from the key.
  Digest key(std::string_view text) const;
  /// All answers to a request whose bodies are still there: pinned ones, then newest first. What
  /// came from other stores is found too, by their keys.
  std::vector<Download> find(std::string_view text) const;
  std::optional<Download> find_id(uint64_t id) const;
  /// All rows, oldest first: for `slipway lock` and `vendor`.
  std::vector<Download> list() const;
  /// Throws Error(machine) when it is missing or damaged.
  Fd open_body(const Download& download) const;

  /// Makes answers visible, all in one transaction after one flush; returns their rows' numbers. An
  /// answer equal to the newest of its request is that one, checked now. A wrong size of a body is
  /// a bug; its SHA-256 is the caller's word.
  std::vector<uint64_t> publish(std::vector<Finished>& batch);
  /// The server said that it is still the same.
  void confirm(const std::vector<uint64_t>& ids);

  /// What another store needs to find rows of this one, which it takes with publish(): for
  /// `vendor`. It tells nothing but, to who guesses a whole URL, whether it is there.
  std::string sharing_key() const { return own_key_; }
  /// Rows of the store with that key are found from now on. Throws Error(app_files) when it is
  /// none.
  void add_sharing_key(const std::string& key);

  /// Empty while another process (or thread) has it.
  std::optional<Partial> try_partial(const Digest& identity) const;
  /// A partial that somebody else fills, to read along: its file and what its answer said. Empty
  /// until there is a head.
  struct Foreign {
    Fd file;
    Json head;
  };
  std::optional<Foreign> foreign_partial(const Digest& identity) const;

 private:
  void find_by(const Digest& key, std::vector<Download>& found) const;

  Store& store_;
  std::string own_key_;
  std::vector<std::string> other_keys_;
  Fd partials_;
};

}  // namespace slipway::cache
