# Layers as object libraries whose include path holds only what CMakeLists.txt allows, the library
# and the command made of them.

set(BTH_INC ${CMAKE_BINARY_DIR}/inc)
configure_file(include/berth/version.h.in ${CMAKE_BINARY_DIR}/generated/berth/version.h @ONLY)

# A link to each public header that a layer may see.
function(bth_stage_public name)
  file(MAKE_DIRECTORY ${BTH_INC}/${name}/public/berth)
  foreach(h ${ARGN})
    set(from ${CMAKE_SOURCE_DIR}/include/berth/${h}.h)
    if(h STREQUAL version)
      set(from ${CMAKE_BINARY_DIR}/generated/berth/version.h)
    endif()
    file(CREATE_LINK ${from} ${BTH_INC}/${name}/public/berth/${h}.h SYMBOLIC)
  endforeach()
endfunction()

# The include path of `target`: the named layers and its own staged public headers.
function(bth_include target name)
  foreach(d ${ARGN})
    target_include_directories(${target} PRIVATE ${BTH_INC}/${d}/layer)
  endforeach()
  target_include_directories(${target} PRIVATE ${BTH_INC}/${name}/public)
endfunction()

function(bth_layer name folder)
  cmake_parse_arguments(L "" "" "DEPS;PUBLIC;LIBS" ${ARGN})
  file(MAKE_DIRECTORY ${BTH_INC}/${name}/layer)
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${BTH_INC}/${name}/layer/${name} SYMBOLIC)
  bth_stage_public(${name} ${L_PUBLIC})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.c
       ${CMAKE_SOURCE_DIR}/${folder}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/compute/cuda/") # a module of its own: cmake/cuda.cmake
  if(NOT sources)
    file(WRITE ${CMAKE_BINARY_DIR}/generated/${name}_empty.c "typedef int bth_empty_layer;\n")
    set(sources ${CMAKE_BINARY_DIR}/generated/${name}_empty.c)
  endif()
  add_library(bth_${name} OBJECT ${sources})
  bth_include(bth_${name} ${name} ${name} ${L_DEPS})
  target_link_libraries(bth_${name} PRIVATE Threads::Threads)
  foreach(lib ${L_LIBS})
    target_link_libraries(bth_${name} PRIVATE PkgConfig::${lib})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY BTH_LIBS ${L_LIBS})
endfunction()

# CPU kernels are compiled once per instruction set and chosen at run time: src/compute/cpu/*_avx512.c
# and so on. Nothing else may use more than the base instruction set.
function(bth_cpu_isa)
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    return()
  endif()
  # under sanitizers the plain kernels, the same templates, are instrumented; these would take minutes
  set(level -O3)
  if(BERTH_SANITIZE)
    set(level "-O1;-fno-sanitize=all")
  endif()
  file(GLOB avx512 ${CMAKE_SOURCE_DIR}/src/compute/cpu/*_avx512.c)
  file(GLOB avx2 ${CMAKE_SOURCE_DIR}/src/compute/cpu/*_avx2.c)
  set_source_files_properties(${avx512} PROPERTIES COMPILE_OPTIONS
    "-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx2;-mfma;-mf16c;${level}")
  set_source_files_properties(${avx2} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;${level}")
endfunction()

function(bth_libberth)
  set(objects)
  foreach(l ${ARGN})
    list(APPEND objects $<TARGET_OBJECTS:bth_${l}>)
  endforeach()
  get_property(libs GLOBAL PROPERTY BTH_LIBS)
  list(REMOVE_DUPLICATES libs)
  list(TRANSFORM libs PREPEND PkgConfig::)
  # for tests and benchmarks, which see internals
  add_library(berth_static STATIC ${objects})
  target_link_libraries(berth_static PUBLIC ${libs} Threads::Threads m)
  add_library(berth_shared SHARED ${objects})
  set_target_properties(berth_shared PROPERTIES OUTPUT_NAME berth VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${CMAKE_SOURCE_DIR}/src/libberth.map)
  target_link_options(berth_shared PRIVATE
    -Wl,--version-script=${CMAKE_SOURCE_DIR}/src/libberth.map -Wl,--no-undefined)
  target_link_libraries(berth_shared PRIVATE ${libs} Threads::Threads m)
  target_include_directories(berth_shared INTERFACE ${CMAKE_SOURCE_DIR}/include
    ${CMAKE_BINARY_DIR}/generated)
  install(TARGETS berth_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  # in the Python package it lies beside the modules that load it
  install(PROGRAMS $<TARGET_FILE:berth_shared> DESTINATION berth RENAME libberth.so
    COMPONENT python EXCLUDE_FROM_ALL)
  install(DIRECTORY include/berth DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
  install(FILES ${CMAKE_BINARY_DIR}/generated/berth/version.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/berth)
  configure_file(cmake/berth.pc.in ${CMAKE_BINARY_DIR}/berth.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/berth.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# A text file as a C array in a file of the build folder, of which `symbol` is the name.
function(bth_embed file symbol out)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  set(target ${CMAKE_BINARY_DIR}/generated/${symbol}.c)
  file(CONFIGURE OUTPUT ${target} CONTENT
    "#include <stddef.h>\n#include \"server/embedded.h\"\nconst unsigned char ${symbol}[] = {${bytes}0};\nconst size_t ${symbol}_size = sizeof(${symbol}) - 1;\n" @ONLY)
  set(${out} ${target} PARENT_SCOPE)
endfunction()

# What programs are made of and the library does not hold: layers declared after bth_libberth, and the
# libraries that they alone need. Tests link it too.
function(bth_programs)
  cmake_parse_arguments(P "" "" "LAYERS;LIBS" ${ARGN})
  set(objects)
  foreach(l ${P_LAYERS})
    list(APPEND objects $<TARGET_OBJECTS:bth_${l}>)
  endforeach()
  list(TRANSFORM P_LIBS PREPEND PkgConfig::)
  add_library(berth_programs STATIC ${objects})
  target_link_libraries(berth_programs PUBLIC berth_static ${P_LIBS})
endfunction()

# `name` and its second name `daemon`, by which it is berthd: one program.
function(bth_command name layer daemon)
  add_executable(${name} $<TARGET_OBJECTS:bth_${layer}>)
  target_link_libraries(${name} PRIVATE berth_programs)
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND ${CMAKE_COMMAND} -E create_symlink ${name} $<TARGET_FILE_DIR:${name}>/${daemon})
  # in the Python package it is the daemon that lies beside the library
  install(PROGRAMS $<TARGET_FILE:${name}> DESTINATION berth RENAME ${daemon}
    COMPONENT python EXCLUDE_FROM_ALL)
  install(FILES ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${daemon} DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()
