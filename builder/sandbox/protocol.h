// The messages between parent and worker.
//
// Control socket (SOCK_SEQPACKET): first a Setup, answered by a reply; then requests
// "<Request><payload>" whose first descriptor is a channel of the request's own (the descriptors
// after it belong to the payload). Everything about one request travels on its channel:
// replies "<Reply><payload>", and for copy_in and read_tree further messages of the parent's.
// The parent closing (or shutting down) a channel ends that request's work.
#pragma once

#include <string>
#include <vector>

#include "archive/tree.h"
#include "base/fd.h"
#include "sandbox/wire.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

enum class Request : uint8_t {
  create,
  copy_in,
  unpack,
  scan,
  read_tree,
  list_layer,
  exec,
  move,
  flatten,
  apply_files,
  select,
  remove,
  network,  ///< makes the build's network namespace; answers with its descriptor
};
enum class Reply : uint8_t {
  ok,
  error,        ///< an Error, coded by fields()
  terminal,     ///< exec: carries the pseudo terminal's master
  agent,        ///< exec: index of an agent mount, carries its listening socket
  wants_lower,  ///< unpack: an empty message answers when the layers below are complete
};
enum class CopyCall : uint8_t { directory, file, symlink, whiteout, finish };

/// Of the directories below snapshots/ that hold uppers to be thrown away.
inline constexpr const char* scratch_prefix = ".scratch-";

/// In the name of a cache mount's directory that was set aside.
inline constexpr const char* old_cache_mark = ".old-";

/// What the worker must know before the first request.
struct Setup {
  Isolation isolation = Isolation::oci;
  bool single_id = false;
  std::string runtime;  ///< path of crun or runc
  bool is_crun = true;
  std::string seccomp_bpf;       ///< compiled filter, for crun
  std::string seccomp_json;      ///< profile, for runc
  std::string ca_bundle;         ///< PEM text of the host's bundle; empty = none
  std::string java_cacerts;      ///< path on the host; empty = none
  std::string resolv_conf;       ///< for steps with a network namespace of their own
  std::string resolv_conf_host;  ///< the host's, as it is
  std::string scratch;           ///< name below snapshots/ for upper directories thrown away
};

/// An Error as it travels; anything else that was thrown becomes ExitCode::bug.
struct WireError {
  int code = 70;
  std::string cause, hint;
  std::vector<std::string> context;
};

template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, Setup>
void fields(Coder& coder, T& v) {
  coder(v.isolation, v.single_id, v.runtime, v.is_crun, v.seccomp_bpf, v.seccomp_json, v.ca_bundle,
        v.java_cacerts, v.resolv_conf, v.resolv_conf_host, v.scratch);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, WireError>
void fields(Coder& coder, T& v) {
  coder(v.code, v.cause, v.hint, v.context);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, graph::Owner>
void fields(Coder& coder, T& v) {
  coder(v.uid, v.gid);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, graph::WorkspaceOp::Dir>
void fields(Coder& coder, T& v) {
  coder(v.path, v.mode, v.owner);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, Root>
void fields(Coder& coder, T& v) {
  coder(v.layers, v.host, v.readonly, v.upper);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, StepMount>
void fields(Coder& coder, T& v) {
  coder(v.kind, v.dest, v.source, v.name, v.fresh, v.seed_path, v.layers, v.files, v.data, v.mode,
        v.owner, v.readonly, v.size_bytes);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, Workspace>
void fields(Coder& coder, T& v) {
  coder(v.upper, v.layers);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, graph::Ulimit>
void fields(Coder& coder, T& v) {
  coder(v.name, v.soft, v.hard);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, ExecSpec>
void fields(Coder& coder, T& v) {
  coder(v.root, v.workspace, v.mounts, v.argv, v.env, v.cwd, v.user, v.hostname, v.network,
        v.security, v.extra_hosts, v.terminal, v.timeout, v.ulimits, v.shm_size_bytes, v.host_ca);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, graph::FileAction>
void fields(Coder& coder, T& v) {
  coder(v.kind, v.source_input, v.source, v.dest, v.data, v.mode, v.mode_text, v.owner,
        v.owner_names, v.contents, v.create_dest_path, v.allow_wildcard, v.allow_empty_wildcard,
        v.allow_missing, v.follow_links, v.unpack, v.parents, v.exclude, v.replace_existing,
        v.timestamp_ns);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, FileRequest::Action>
void fields(Coder& coder, T& v) {
  coder(v.action, v.source_layers, v.source_path, v.keep_origins);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, FileRequest>
void fields(Coder& coder, T& v) {
  coder(v.base, v.actions);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, Digest>
void fields(Coder& coder, T& v) {
  for (auto& byte : v.bytes) coder(byte);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, FileResult::Known>
void fields(Coder& coder, T& v) {
  coder(v.path, v.size, v.mtime_ns, v.digest, v.origin, v.action);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, FileResult>
void fields(Coder& coder, T& v) {
  coder(v.files, v.size_bytes, v.known);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, SelectRequest>
void fields(Coder& coder, T& v) {
  coder(v.layers, v.path, v.actions);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, ExecResult>
void fields(Coder& coder, T& v) {
  coder(v.status.code, v.status.signal, v.timed_out, v.out_of_memory, v.files, v.size_bytes);
}
template <typename Coder, typename T>
requires std::is_same_v<std::remove_const_t<T>, UnpackOptions>
void fields(Coder& coder, T& v) {
  coder(v.prefix, v.strip_wrapper, v.bin_executable, v.whiteouts, v.lower, v.diff_id, v.digests,
        v.owner, v.size_max_bytes, v.entries_max);
}

/// "<tag><fields…>"
template <typename Tag, typename... T>
std::string message(Tag tag, const T&... values) {
  Encoder encoder;
  encoder(tag, values...);
  return encoder.take();
}

/// Runs `work` and sends what it threw, if anything, as an error reply. True = it did not throw.
bool reply_errors(int channel, const std::function<void()>& work) noexcept;

/// Waits for the next reply; `fds` gets its descriptors. Throws the worker's Error as it was, and
/// Error(machine) when the worker died. `text` keeps the bytes the Decoder reads.
Decoder read_reply(int channel, std::string& text, std::vector<Fd>* fds = nullptr,
                   Reply* kind = nullptr);

}  // namespace slipway::sandbox
