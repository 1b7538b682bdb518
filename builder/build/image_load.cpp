#include "build/image_load.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "build/project.h"
#include "fetch/docker_engine.h"

namespace slipway::build {

void check_engine(const std::string& socket) {
  if (access(socket.c_str(), R_OK | W_OK) == 0) return;
  const int number = errno;
  const bool forbidden = number == EACCES || number == EPERM;
  throw Error(ExitCode::machine, fmt::format("--load: no docker engine at {}: {}",
                                             printable(socket), std::strerror(number)))
      .set_hint(forbidden ? "join the group that owns the socket, or write --docker-archive FILE "
                            "and let somebody who may load it"
                          : "start it, name its socket in DOCKER_HOST, or write --docker-archive "
                            "FILE for later");
}

void load_images(const Session& session, const image::ExportContext& context,
                 const std::string& socket, const std::vector<image::Named>& images) {
  const fetch::Fetcher fetcher = make_fetcher(session);
  std::vector<fetch::EngineImage> wanted;
  for (const image::Named& named : images) {
    SLIPWAY_CHECK(named.platforms.size() == 1);
    wanted.push_back({image::assemble(named).published.config_digest,
                      named.platforms[0].config.diff_ids, named.names});
  }
  const std::vector<fetch::EngineHas> has = fetch::ask_engine(fetcher, socket, wanted);
  std::vector<image::Named> missing;
  std::set<std::string> left_out, needed;
  for (size_t i = 0; i < images.size(); ++i) {
    if (has[i].image) continue;
    missing.push_back(images[i]);
    const std::vector<image::Layer>& layers = images[i].platforms[0].layers;
    for (size_t layer = 0; layer < layers.size(); ++layer)
      (layer < has[i].layers ? left_out : needed).insert(layers[layer].blob.digest);
  }
  for (const std::string& digest : needed) left_out.erase(digest);
  if (missing.empty()) {
    session.stream.detail("the docker engine has it already");
    return;
  }
  const auto send = [&](const std::set<std::string>& without) {
    session.stream.emit(report::Progress{0, "loading into the docker engine", 0, 0, false});
    fetch::load_into_engine(fetcher, socket, [&](int out) {
      image::write_docker_archive(context, out, missing, without);
    });
  };
  try {
    send(left_out);
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    // A layer may have been removed since it was asked for, and some engines want every one.
    if (left_out.empty()) throw;
    session.stream.detail(error.cause() + "; sending all layers");
    left_out.clear();
    send(left_out);
  }
  session.stream.detail(fmt::format("loaded into the docker engine ({} of {} layers were there)",
                                    left_out.size(), left_out.size() + needed.size()));
}

}  // namespace slipway::build
