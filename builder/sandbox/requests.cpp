#include "sandbox/requests.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "archive/extract.h"
#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/files_on_overlay.h"
#include "sandbox/layer_diff.h"
#include "sandbox/layers.h"
#include "sandbox/lower_tree.h"
#include "sandbox/network.h"
#include "sandbox/plain_places.h"
#include "sandbox/source_view.h"
#include "sandbox/step.h"

namespace slipway::sandbox {
namespace {

constexpr size_t fds_per_message = 200;
constexpr size_t warnings_max = 100;  // a foreign archive may cause any number of them

Fd take(std::vector<Fd>& fds, size_t index) {
  if (index >= fds.size()) throw Error(ExitCode::machine, "a message came without its descriptors");
  return std::move(fds[index]);
}

void serve_copy_in(int snapshots, SnapshotId target, bool single_id, int channel) {
  const Fd layer = make_layer(snapshots, target);
  const std::unique_ptr<CopyIn> writer = make_layer_writer(layer.get(), single_id);
  for (;;) {
    std::string text;
    std::vector<Fd> fds;
    if (!receive_message(channel, text, fds)) return;
    Decoder decoder(text);
    size_t next_fd = 0;
    const auto count = decoder.next<uint32_t>();
    for (uint32_t i = 0; i < count; ++i) {
      std::string path, link;
      uint32_t mode = 0;
      graph::Owner owner;
      int64_t mtime_ns = 0;
      uint64_t size = 0;
      switch (decoder.next<CopyCall>()) {
        case CopyCall::directory:
          decoder(path, mode, owner, mtime_ns);
          writer->directory(path, mode, owner, mtime_ns);
          break;
        case CopyCall::file:
          decoder(path, mode, owner, mtime_ns, size);
          writer->file(path, mode, owner, mtime_ns, size, take(fds, next_fd++));
          break;
        case CopyCall::symlink:
          decoder(path, link, owner, mtime_ns);
          writer->symlink(path, link, owner, mtime_ns);
          break;
        case CopyCall::whiteout:
          decoder(path);
          writer->whiteout(path);
          break;
        case CopyCall::finish:
          writer->finish();
          send_message(channel, message(Reply::ok));
          return;
      }
    }
  }
}

void serve_read_tree(int snapshots, const Workspace& tree, const std::string& path, int channel) {
  const std::vector<Fd> layers = open_stack(snapshots, tree);
  LayerFiles tree_files(numbers(layers));
  send_message(channel, message(Reply::ok));
  for (;;) {
    std::string text;
    std::vector<Fd> none;
    if (!receive_message(channel, text, none)) return;
    Decoder decoder(text);
    // An error is the answer to this message; the reader stays usable.
    (void)reply_errors(channel, [&] {
      std::vector<Fd> files;
      for (const std::string& name : decoder.next<std::vector<std::string>>()) {
        Fd file = tree_files.open(path.empty() ? name : path + "/" + name);
        if (!file) fail(ExitCode::machine, "{} is missing in the stored tree", name);
        files.push_back(std::move(file));
      }
      SLIPWAY_CHECK(files.size() <= fds_per_message);
      send_message(channel, message(Reply::ok), numbers(files));
    });
  }
}

void serve_exec(const WorkerState& state, Decoder& payload, std::vector<Fd> fds, int channel) {
  const auto spec = payload.next<ExecSpec>();
  const auto present = payload.next<uint32_t>();  // bit i: stream i comes, bit 3: the network
  payload.finish();
  StepIo io;
  size_t next_fd = 0;
  for (unsigned i = 0; i < 3; ++i)
    if ((present >> i & 1U) != 0) io.streams[i] = take(fds, next_fd++);
  if ((present >> 3 & 1U) != 0) io.network = take(fds, next_fd++);
  send_message(channel, message(Reply::ok, run_step(state, spec, std::move(io), channel)));
}

}  // namespace

std::vector<int> numbers(const std::vector<Fd>& fds) {
  std::vector<int> list;
  for (const Fd& fd : fds) list.push_back(fd.get());
  return list;
}

Fd open_layer(int snapshots, SnapshotId id) {
  return open_at(snapshots, fmt::format("{}/fs", id), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Fd make_layer(int snapshots, SnapshotId id) {
  const std::string name = std::to_string(id);
  if (mkdirat(snapshots, name.c_str(), 0700) != 0 && errno != EEXIST)
    fail_errno("create snapshot {}", id);
  const std::string layer = name + "/fs";
  if (mkdirat(snapshots, layer.c_str(), 0700) == 0) {
    // It becomes the "/" of whoever sees it on top.
    if (fchmodat(snapshots, layer.c_str(), 0755, 0) != 0) fail_errno("chmod snapshot {}", id);
  } else if (errno != EEXIST) {
    fail_errno("create snapshot {}", id);
  }
  return open_layer(snapshots, id);
}

std::vector<Fd> open_stack(int snapshots, const Workspace& tree) {
  std::vector<Fd> layers;
  if (tree.upper != 0) layers.push_back(open_layer(snapshots, tree.upper));
  for (const SnapshotId id : tree.layers) layers.push_back(open_layer(snapshots, id));
  return layers;
}

archive::Tree unpack_layer(int snapshots, SnapshotId target, int archive,
                           const UnpackOptions& options, bool single_id) {
  const Fd layer = make_layer(snapshots, target);
  StackBelow below([&] {
    if (options.wait_for_lower) options.wait_for_lower();
    return open_stack(snapshots, {0, options.lower});
  });
  archive::ExtractOptions extract;
  if (!options.lower.empty()) extract.lower = &below;
  constexpr std::string_view algorithm = "sha256:";
  if (!options.diff_id.empty()) {
    SLIPWAY_CHECK(starts_with(options.diff_id, algorithm));
    extract.raw_sha256 = options.diff_id.substr(algorithm.size());
  }
  extract.digests = options.digests;
  extract.on_warning = options.on_warning;
  extract.prefix = options.prefix;
  extract.strip_wrapper = options.strip_wrapper;
  extract.bin_executable = options.bin_executable;
  extract.whiteouts = options.whiteouts;
  if (options.owner) extract.owner = {options.owner->uid, options.owner->gid};
  if (single_id) {
    // Without a namespace an ordinary user can give files to nobody but itself.
    extract.keep_owner = geteuid() == 0;
    extract.owner.reset();
    if (extract.keep_owner) extract.owner = {0, 0};
  }
  extract.size_max_bytes = options.size_max_bytes;
  extract.entries_max = options.entries_max;
  return archive::extract(archive, layer.get(), extract);
}

ScanResult scan_stack(int snapshots, const ScanRequest& request) {
  const std::vector<Fd> layers = open_stack(snapshots, request.tree);
  return scan_layers(numbers(layers), request.tree.upper != 0 ? 1 : static_cast<int>(layers.size()),
                     request.path, request.lower, request.previous_state);
}

std::vector<Selection> select_in_stack(int snapshots, const SelectRequest& request) {
  const std::vector<Fd> layers = open_stack(snapshots, {0, request.layers});
  StackView view(numbers(layers), request.path);
  std::vector<Selection> selections;
  for (const graph::FileAction& action : request.actions)
    selections.push_back(select_content(view, action));
  return selections;
}

std::vector<FileActionOn> open_sources(int snapshots, const FileRequest& request,
                                       std::vector<Fd>& opened) {
  std::vector<FileActionOn> actions;
  std::map<SnapshotId, int> known;
  for (const FileRequest::Action& wanted : request.actions) {
    FileActionOn& on = actions.emplace_back();
    on.action = wanted.action;
    on.source_path = wanted.source_path;
    on.keep_origins = wanted.keep_origins;
    for (const SnapshotId id : wanted.source_layers) {
      auto [layer, fresh] = known.try_emplace(id, -1);
      if (fresh) {
        opened.push_back(open_layer(snapshots, id));
        layer->second = opened.back().get();
      }
      on.source_layers.push_back(layer->second);
    }
  }
  return actions;
}

LayerResult list_stack(int snapshots, const LayerRequest& request, bool root_owns_all) {
  SLIPWAY_CHECK(request.own <= request.stack.size());
  // A walk holds a descriptor a level and layer.
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
  // Nothing below a full layer shows.
  const auto middle = request.stack.begin() + static_cast<ptrdiff_t>(request.own);
  const std::vector<SnapshotId> own = cut_at_full_layer(snapshots, {request.stack.begin(), middle});
  const std::vector<SnapshotId> rest = cut_at_full_layer(snapshots, {middle, request.stack.end()});
  LayerDiffOptions options;
  options.own_is_whole = !own.empty() && is_full_layer(snapshots, own.back());
  options.root_owns_all = root_owns_all;
  options.digests = request.digests;
  const std::vector<Fd> own_layers = open_stack(snapshots, {0, own});
  const std::vector<Fd> rest_layers = open_stack(snapshots, {0, rest});
  return diff_layers(numbers(own_layers), numbers(rest_layers), request.known, options);
}

void flatten_stack(int snapshots, const std::vector<SnapshotId>& layers, SnapshotId target) {
  const std::vector<Fd> stack = open_stack(snapshots, {0, layers});
  const Fd layer = make_layer(snapshots, target);
  flatten_layers(numbers(stack), layer.get());
}

void move_path(int snapshots, SnapshotId from, const std::string& from_path, SnapshotId to,
               const std::string& to_path) {
  const Fd source = open_layer(snapshots, from), target = make_layer(snapshots, to);
  move_subtree(source.get(), from_path, target.get(), to_path);
}

void remove_snapshots(int snapshots, const std::vector<SnapshotId>& ids) {
  for (const SnapshotId id : ids) remove_tree_at(snapshots, std::to_string(id));
}

void serve_request(const WorkerState& state, Request request, Decoder& payload, std::vector<Fd> fds,
                   int channel) {
  const bool single = state.setup.single_id;
  const Fd snapshots = open_file(".", O_RDONLY | O_DIRECTORY);
  switch (request) {
    case Request::create: {
      const auto target = payload.next<SnapshotId>();
      const Fd layer = make_layer(snapshots.get(), target);
      create_dirs(layer.get(), payload.next<std::vector<graph::WorkspaceOp::Dir>>(), single);
      send_message(channel, message(Reply::ok));
      return;
    }
    case Request::copy_in:
      serve_copy_in(snapshots.get(), payload.next<SnapshotId>(), single, channel);
      return;
    case Request::unpack: {
      const auto target = payload.next<SnapshotId>();
      auto options = payload.next<UnpackOptions>();
      const Fd archive = take(fds, 0);
      std::vector<std::string> warnings;
      options.on_warning = [&](const std::string& text) {
        if (warnings.size() < warnings_max) warnings.push_back(text);
      };
      options.wait_for_lower = [&] {
        send_message(channel, message(Reply::wants_lower));
        std::string text;
        std::vector<Fd> none;
        if (!receive_message(channel, text, none))
          throw Error(ExitCode::machine, "the layers below never came");
      };
      const archive::Tree tree =
          unpack_layer(snapshots.get(), target, archive.get(), options, single);
      send_message(channel, message(Reply::ok, archive::serialize_tree(tree), warnings));
      return;
    }
    case Request::scan: {
      ScanRequest scan;
      std::string lower;
      payload(scan.tree, scan.path, lower, scan.previous_state, scan.digests);
      scan.lower = archive::parse_tree(lower);
      const ScanResult result = scan_stack(snapshots.get(), scan);
      send_message(channel, message(Reply::ok, archive::serialize_tree(result.tree), result.state,
                                    result.changed, result.warnings));
      return;
    }
    case Request::list_layer: {
      LayerRequest wanted;
      std::string known;
      uint64_t own = 0;
      payload(wanted.stack, own, known, wanted.digests);
      wanted.own = static_cast<size_t>(own);
      wanted.known = archive::parse_tree(known);
      const LayerResult result = list_stack(snapshots.get(), wanted, false);
      send_message(channel, message(Reply::ok, archive::serialize_listing(result.listing),
                                    result.warnings, result.files_read));
      return;
    }
    case Request::read_tree: {
      const auto tree = payload.next<Workspace>();
      serve_read_tree(snapshots.get(), tree, payload.next<std::string>(), channel);
      return;
    }
    case Request::exec:
      serve_exec(state, payload, std::move(fds), channel);
      return;
    case Request::move: {
      SnapshotId from = 0, to = 0;
      std::string from_path, to_path;
      payload(from, from_path, to, to_path);
      move_path(snapshots.get(), from, from_path, to, to_path);
      send_message(channel, message(Reply::ok));
      return;
    }
    case Request::flatten: {
      const auto layers = payload.next<std::vector<SnapshotId>>();
      flatten_stack(snapshots.get(), layers, payload.next<SnapshotId>());
      send_message(channel, message(Reply::ok));
      return;
    }
    case Request::apply_files: {
      const auto target = payload.next<SnapshotId>();
      const auto wanted = payload.next<FileRequest>();
      const FileResult result = apply_files_on_overlay(snapshots.get(), target, wanted, single);
      send_message(channel, message(Reply::ok, result));
      return;
    }
    case Request::select: {
      const auto selections = select_in_stack(snapshots.get(), payload.next<SelectRequest>());
      Encoder reply;
      reply(Reply::ok, static_cast<uint64_t>(selections.size()));
      for (const Selection& selection : selections)
        reply(selection.digest, archive::serialize_tree(selection.tree));
      send_message(channel, reply.take());
      return;
    }
    case Request::remove:
      remove_snapshots(snapshots.get(), payload.next<std::vector<SnapshotId>>());
      send_message(channel, message(Reply::ok));
      return;
    case Request::network: {
      const auto pasta = payload.next<std::string>();
      const auto name_server = payload.next<std::string>();
      const Fd network = make_network_namespace();
      Child helper;
      if (!pasta.empty()) helper = start_pasta(place::host + pasta, network.get(), name_server);
      send_message(channel, message(Reply::ok), {network.get()});
      // pasta lives as long as this process, which watch_channel() ends.
      if (!pasta.empty()) (void)helper.wait();
      return;
    }
  }
  throw Error(ExitCode::machine, "unknown request");
}

}  // namespace slipway::sandbox
