#include "cache/downloads.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "cache/layout.h"
#include "cache/state.h"

namespace slipway::cache {
namespace {

constexpr const char* directory_name = "partial";
constexpr const char* keys_area = "downloads of other stores";
constexpr const char* locks_name = "locks";
constexpr const char* head_suffix = ".head";
constexpr int64_t partial_age_max_s = 7 * 24 * 3600;
constexpr size_t head_bytes_max = 1 << 20;
// Flushing one by one costs a disk's latency each.
constexpr size_t flush_one_by_one_max = 4;

Headers headers_from(const Json& json) {
  Headers headers;
  for (const Json& pair : json) headers.emplace_back(pair.at(0), pair.at(1));
  return headers;
}

Download download_from(const Query& row) {
  Download download;
  download.id = row.number(0);
  download.key = row.digest(1);
  download.variant = row.text(2);
  download.status = static_cast<int>(row.integer(3));
  download.headers = headers_from(row.json(4));
  download.sha256 = row.text(5);
  download.size_bytes = row.number(6);
  download.url = row.text(7);
  download.requester = row.text(8);
  download.recorded_s = row.integer(9);
  download.checked_s = row.integer(10);
  download.pinned = row.integer(11) != 0;
  return download;
}

bool is_same_answer(const Download& a, const Download& b) {
  return a.status == b.status && a.sha256 == b.sha256 && a.size_bytes == b.size_bytes &&
         a.headers == b.headers && a.pinned == b.pinned;
}

/// An empty Fd while somebody else has it. The lock is the open file's, not the process's
/// (fcntl(2)).
Fd try_lock_identity(int directory, const std::string& identity) {
  Fd file = open_at(directory, locks_name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(std::stoull(identity.substr(0, 14), nullptr, 16));
  lock.l_len = 1;
  if (fcntl(file.get(), F_OFD_SETLK, &lock) == 0) return file;
  if (errno != EAGAIN && errno != EACCES) fail_errno("lock a download");
  return Fd();
}

void sweep_partials(int directory) {
  for (const std::string& name : list_directory(directory)) {
    const auto info = stat_at(directory, name);
    if (!info || info->st_mtime + partial_age_max_s > now_seconds()) continue;
    const std::string identity = name.substr(0, name.find('.'));
    if (is_sha256(identity) && try_lock_identity(directory, identity))
      (void)unlinkat(directory, name.c_str(), 0);
  }
}

void rename_at(int from, const std::string& name, int to, const std::string& new_name) {
  if (renameat(from, name.c_str(), to, new_name.c_str()) != 0) fail_errno("keep {}", new_name);
}

}  // namespace

Partial::Partial(int directory, std::string name, Fd lock)
    : directory_(fcntl(directory, F_DUPFD_CLOEXEC, 3)),
      name_(std::move(name)),
      lock_(std::move(lock)) {
  if (!directory_) fail_errno("open the partial downloads");
  file_ = open_at_if_exists(directory_.get(), name_, O_RDWR | O_NOFOLLOW);
}

int Partial::fd() {
  if (!file_)
    file_ = open_at(directory_.get(), name_, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  return file_.get();
}

uint64_t Partial::size_bytes() const {
  if (!file_) return 0;
  struct stat info {};
  if (fstat(file_.get(), &info) != 0) fail_errno("stat a partial download");
  return static_cast<uint64_t>(info.st_size);
}

std::optional<Json> Partial::head() const {
  try {
    const Fd file = open_at_if_exists(directory_.get(), name_ + head_suffix, O_RDONLY | O_NOFOLLOW);
    if (!file) return std::nullopt;
    return parse_json(read_all(file.get(), head_bytes_max), "head");
  } catch (const Error&) {
    // A head cut short by a crash: the transfer starts anew.
    return std::nullopt;
  }
}

void Partial::set_head(const Json& head) {
  const std::string name = name_ + head_suffix, beside = name + ".new";
  const Fd file =
      open_at(directory_.get(), beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  write_all(file.get(), dump_json(head));
  rename_at(directory_.get(), beside, directory_.get(), name);
}

void Partial::restart() {
  (void)unlinkat(directory_.get(), (name_ + head_suffix).c_str(), 0);
  (void)unlinkat(directory_.get(), name_.c_str(), 0);
  file_.reset();
}

void Partial::discard() {
  if (file_) restart();
  lock_.reset();
}

Downloads::Downloads(Store& store) : store_(store) {
  const int root = store_.state().layout.fd.get();
  make_private_directory(root, directory_name);
  partials_ = open_at(root, directory_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  sweep_partials(partials_.get());
  // Of its own, so that it can be given away without the store's.
  own_key_ = keyed_digest(store_.secret_key(), "keys of downloads").hex();
  for (const auto& [key, value] : store_.list_values(keys_area)) other_keys_.push_back(key);
}

Digest Downloads::key(std::string_view text) const {
  return keyed_digest(own_key_, text);
}

void Downloads::add_sharing_key(const std::string& key) {
  if (!is_sha256(key)) fail(ExitCode::app_files, "'{}' is no key of downloads", printable(key));
  if (key == own_key_) return;
  store_.put_value(keys_area, key, Json::object());
  other_keys_.push_back(key);
}

std::vector<Download> Downloads::find(std::string_view text) const {
  std::vector<Download> found;
  find_by(key(text), found);
  for (const std::string& other : other_keys_) find_by(keyed_digest(other, text), found);
  std::stable_sort(found.begin(), found.end(), [](const Download& a, const Download& b) {
    return std::pair(a.pinned, a.id) > std::pair(b.pinned, b.id);
  });
  return found;
}

void Downloads::find_by(const Digest& key, std::vector<Download>& found) const {
  Store::State& state = store_.state();
  const Session index(state);
  Query rows = index->query(
      "SELECT id, key, variant, status, headers, downloads.sha256, downloads.size, url, requester, "
      "recorded, checked, pinned, blobs.last_use FROM downloads LEFT JOIN blobs ON blobs.sha256 = "
      "downloads.sha256 WHERE key = ? AND (downloads.sha256 = '' OR blobs.sha256 IS NOT NULL) "
      "ORDER BY pinned DESC, id DESC",
      key);
  while (rows.next()) {
    found.push_back(download_from(rows));
    const std::string& sha256 = found.back().sha256;
    if (!sha256.empty() && rows.integer(12) + touch_interval_s < now_seconds())
      state.touched_blobs.insert(sha256);
  }
}

std::optional<Download> Downloads::find_id(uint64_t id) const {
  const Session index(store_.state());
  Query row = index->query(
      "SELECT id, key, variant, status, headers, sha256, size, url, requester, recorded, checked, "
      "pinned FROM downloads WHERE id = ?",
      id);
  if (!row.next()) return std::nullopt;
  return download_from(row);
}

std::vector<Download> Downloads::list() const {
  const Session index(store_.state());
  std::vector<Download> all;
  Query rows = index->query(
      "SELECT id, key, variant, status, headers, sha256, size, url, requester, recorded, checked, "
      "pinned FROM downloads ORDER BY id");
  while (rows.next()) all.push_back(download_from(rows));
  return all;
}

Fd Downloads::open_body(const Download& download) const {
  return store_.open_blob(download.sha256);
}

namespace {

/// A body's file, flushed or to be flushed with the others, not under its name yet.
struct Body {
  std::optional<TempFile> text;
  bool needed = true;
};

/// What the bodies of a batch need before their names may appear.
std::vector<Body> write_bodies(const Store::State& state, std::vector<Finished>& batch) {
  std::vector<Body> bodies(batch.size());
  size_t files = 0;
  for (size_t i = 0; i < batch.size(); ++i) {
    const Finished& finished = batch[i];
    bodies[i].needed = !finished.download.sha256.empty() &&
                       !stat_at(state.blobs.get(), finished.download.sha256).has_value();
    if (!bodies[i].needed) continue;
    ++files;
    if (!finished.body_in_partial) {
      SLIPWAY_CHECK(finished.body.size() == finished.download.size_bytes);
      bodies[i].text.emplace(state.tmp.get());
      write_all(bodies[i].text->fd(), finished.body);
    } else {
      SLIPWAY_CHECK(finished.partial->size_bytes() == finished.download.size_bytes);
    }
  }
  for (size_t i = 0; i < batch.size() && files <= flush_one_by_one_max; ++i) {
    const int file = bodies[i].text ? bodies[i].text->fd() : -1;
    const int fd = batch[i].body_in_partial ? batch[i].partial->fd() : file;
    if (bodies[i].needed && fsync(fd) != 0) fail_errno("write a download");
  }
  if (files > flush_one_by_one_max && syncfs(state.tmp.get()) != 0) fail_errno("write downloads");
  return bodies;
}

uint64_t put_row(Database& database, const Download& download) {
  const int64_t now = now_seconds();
  Query newest = database.query(
      "SELECT id, key, variant, status, headers, sha256, size, url, requester, recorded, checked, "
      "pinned FROM downloads WHERE key = ? AND variant = ? ORDER BY id DESC LIMIT 1",
      download.key, download.variant);
  if (newest.next()) {
    const Download known = download_from(newest);
    if (is_same_answer(known, download)) {
      database.run("UPDATE downloads SET checked = ? WHERE id = ?", now, known.id);
      return known.id;
    }
  }
  Json headers = Json::array();
  for (const auto& [name, value] : download.headers) headers.push_back({name, value});
  database.run(
      "INSERT INTO downloads(key, variant, status, headers, sha256, size, url, requester, "
      "recorded, checked, pinned) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      download.key, download.variant, download.status, dump_json(headers), download.sha256,
      download.size_bytes, download.url, download.requester, now, now, download.pinned ? 1 : 0);
  return database.last_id();
}

}  // namespace

std::vector<uint64_t> Downloads::publish(std::vector<Finished>& batch) {
  Store::State& state = store_.state();
  for (const Finished& finished : batch)
    if (!finished.download.sha256.empty()) check_sha256(finished.download.sha256);
  // Before the session: flushing may take long, and the bytes must be there before the name is.
  std::vector<Body> bodies = write_bodies(state, batch);
  std::vector<uint64_t> ids;
  {
    Session index(state);
    for (size_t i = 0; i < batch.size(); ++i) {
      Finished& finished = batch[i];
      const std::string& sha256 = finished.download.sha256;
      if (sha256.empty()) continue;
      index.own_lease().add(LeaseItem::blob, sha256);
      // gc may have removed the equal one we relied on before the lease had it.
      const bool there = stat_at(state.blobs.get(), sha256).has_value();
      if (bodies[i].text && !there) {
        bodies[i].text->publish(state.blobs.get(), sha256);
      } else if (finished.body_in_partial && !there) {
        if (!bodies[i].needed && fsync(finished.partial->fd()) != 0) fail_errno("write a download");
        // A second name: the first, which others wait for, goes when the row is there.
        if (linkat(partials_.get(), finished.partial->name_.c_str(), state.blobs.get(),
                   sha256.c_str(), 0) != 0 &&
            errno != EEXIST)
          fail_errno("keep download {}", sha256);
      } else if (!there) {
        SLIPWAY_CHECK(finished.body.size() == finished.download.size_bytes);
        TempFile again(state.tmp.get());
        write_all(again.fd(), finished.body);
        if (fsync(again.fd()) != 0) fail_errno("write a download");
        again.publish(state.blobs.get(), sha256);
      }
    }
  }
  // Outside of sessions, which others wait for; the lease keeps gc from files without rows.
  if (fsync(state.blobs.get()) != 0) fail_errno("write downloads");
  {
    Session index(state);
    Transaction transaction(*index);
    for (const Finished& finished : batch) {
      const Download& download = finished.download;
      if (!download.sha256.empty())
        index->run("INSERT OR REPLACE INTO blobs(sha256, size, last_use) VALUES(?, ?, ?)",
                   download.sha256, download.size_bytes, now_seconds());
      ids.push_back(put_row(*index, download));
    }
    transaction.commit();
  }
  // Only now: who waits for the lock finds the row.
  for (Finished& finished : batch)
    if (finished.partial) finished.partial->discard();
  return ids;
}

void Downloads::confirm(const std::vector<uint64_t>& ids) {
  const Session index(store_.state());
  Transaction transaction(*index);
  for (const uint64_t id : ids)
    index->run("UPDATE downloads SET checked = ? WHERE id = ?", now_seconds(), id);
  transaction.commit();
}

std::optional<Partial> Downloads::try_partial(const Digest& identity) const {
  const std::string name = identity.hex();
  Fd lock = try_lock_identity(partials_.get(), name);
  if (!lock) return std::nullopt;
  return Partial(partials_.get(), name, std::move(lock));
}

std::optional<Downloads::Foreign> Downloads::foreign_partial(const Digest& identity) const {
  const std::string name = identity.hex();
  Foreign foreign;
  foreign.file = open_at_if_exists(partials_.get(), name, O_RDONLY | O_NOFOLLOW);
  const Fd head = open_at_if_exists(partials_.get(), name + head_suffix, O_RDONLY | O_NOFOLLOW);
  if (!foreign.file || !head) return std::nullopt;
  try {
    foreign.head = parse_json(read_all(head.get(), head_bytes_max), "head");
  } catch (const Error&) {
    return std::nullopt;
  }
  return foreign;
}

}  // namespace slipway::cache
