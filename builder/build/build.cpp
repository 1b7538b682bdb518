// From a request to a finished build of whichever kind, and its record.
#include "build/app_build.h"
#include "build/container_build.h"
#include "build/image_load.h"

namespace slipway::build {
namespace {

BuildOutcome build_recorded(const Session& session, const BuildRequest& request,
                            BuildRecorder& record) {
  if (request.images.load) check_engine(request.images.engine_socket);
  Project project = open_project(session, request);
  const StrategyChoice choice = choose_strategy(project, request);
  record.start(project.app, project.app_id);
  if (choice.strategy == Strategy::buildpack)
    return build_with_buildpacks(session, request, record, std::move(project), choice);
  return build_containers(session, request, record, std::move(project), choice);
}

}  // namespace

BuildOutcome build_app(const Session& session, const BuildRequest& request) {
  BuildRecorder record(session.store, session.stream);
  try {
    return build_recorded(session, request, record);
  } catch (const Interrupted& error) {
    record.finish("canceled", error, {});
    throw;
  } catch (const Error& error) {
    record.finish("failed", error, {});
    throw;
  } catch (const std::exception& error) {
    record.finish("failed", Error(ExitCode::bug, error.what()), {});
    throw;
  }
}

}  // namespace slipway::build
