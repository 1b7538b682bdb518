# slipway_folder(name DIR folder LINK targets…): one library per folder.
#
# Its headers are reachable as "<name>/x.h" through a link in the build tree that only those who
# link the library get, so an include against the direction of knowledge does not compile.
# Sources are globbed: the folder is the list (style: one room, one idea).
function(slipway_folder name)
  cmake_parse_arguments(ARG "" "DIR;PRECOMPILED" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ARG_DIR}/*.cpp)
  set(root ${CMAKE_BINARY_DIR}/roots/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${ARG_DIR} ${root}/${name} SYMBOLIC)
  if(sources)
    add_library(slipway_${name} STATIC ${sources})
    target_include_directories(slipway_${name} PUBLIC ${root})
    target_link_libraries(slipway_${name} PUBLIC ${ARG_LINK} PRIVATE slipway_warnings)
    target_link_libraries(slipway_${name} PUBLIC slipway_settings)
    if(ARG_PRECOMPILED)
      target_precompile_headers(slipway_${name} PRIVATE ${CMAKE_SOURCE_DIR}/${ARG_PRECOMPILED})
    elseif(NOT name STREQUAL "base")
      target_precompile_headers(slipway_${name} REUSE_FROM slipway_base)
    else()
      target_precompile_headers(slipway_base PRIVATE ${CMAKE_SOURCE_DIR}/builder/base/precompiled.h)
    endif()
  else()
    add_library(slipway_${name} INTERFACE)
    target_include_directories(slipway_${name} INTERFACE ${root})
    target_link_libraries(slipway_${name} INTERFACE ${ARG_LINK} slipway_settings)
  endif()
endfunction()

# slipway_embed(target FILE data NAMESPACE ns SYMBOL name): a text file of ours becomes ns::name, a
# const char*, so that no file has to be found at run time.
function(slipway_embed target)
  cmake_parse_arguments(ARG "" "FILE;SYMBOL;NAMESPACE" "" ${ARGN})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ARG_FILE})
  file(READ ${CMAKE_SOURCE_DIR}/${ARG_FILE} text)
  set(made ${CMAKE_BINARY_DIR}/embedded/${ARG_SYMBOL}.cpp)
  file(CONFIGURE OUTPUT ${made} @ONLY CONTENT
    "// Made from ${ARG_FILE}.\nnamespace @ARG_NAMESPACE@ {\nextern const char* const @ARG_SYMBOL@;\nconst char* const @ARG_SYMBOL@ = R\"slipway(@text@)slipway\";\n}\n")
  target_sources(${target} PRIVATE ${made})
endfunction()
