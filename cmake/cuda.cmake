# berth-cuda.so: the CUDA backend, a module loaded at run time. Built where nvcc is; nothing else links
# CUDA. It carries its own copy of the few base functions it uses.
include(CheckLanguage)
option(BERTH_CUDA "Build the CUDA backend where a CUDA toolkit is" ON)
if(NOT BERTH_CUDA OR BERTH_SANITIZE OR BERTH_FUZZ)
  return()
endif()
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  message(STATUS "No CUDA compiler: building without the CUDA backend")
  return()
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;90-virtual")
endif()
enable_language(CUDA)
file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/compute/cuda/*.cu)
add_library(berth-cuda MODULE ${cuda_sources} src/base/alloc.c src/base/error.c src/base/reservation.c
  src/base/str.c)
set_target_properties(berth-cuda PROPERTIES PREFIX "" CUDA_RUNTIME_LIBRARY Static
  CUDA_STANDARD 17 CUDA_VISIBILITY_PRESET hidden
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
target_include_directories(berth-cuda PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
install(TARGETS berth-cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/berth)
add_executable(berth-gpu-probe src/compute/cuda/probe_main.c)
target_include_directories(berth-gpu-probe PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
set_target_properties(berth-gpu-probe PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
target_link_libraries(berth-gpu-probe PRIVATE ${CMAKE_DL_LIBS})
install(TARGETS berth-gpu-probe RUNTIME DESTINATION ${CMAKE_INSTALL_LIBDIR}/berth)
