# The CUDA backend, tensor/backend/cuda: PLUMAGE_CUDA = AUTO, ON, OFF or SIM.
# SIM builds the same sources by g++ alone and links the simulated device of tests/cuda_sim in place of the toolkit.
# ON compiles them by nvcc, for the devices of PLUMAGE_CUDA_ARCHITECTURES: by default this machine's, else 80 and 90, with
# PTX for later ones. AUTO means OFF until the backend is whole.
# Gives PLUMAGE_HAS_CUDA; plumage_cuda_backend(TARGET) adds the backend to a library.

option(PLUMAGE_SIM_RACES "with PLUMAGE_CUDA=SIM: ThreadSanitizer watches the kernels on the simulated device" OFF)

if(NOT PLUMAGE_CUDA MATCHES "^(AUTO|ON|OFF|SIM)$")
  message(FATAL_ERROR "plumage: PLUMAGE_CUDA=${PLUMAGE_CUDA}: wanted AUTO, ON, OFF or SIM")
endif()
set(PLUMAGE_CUDA_ARCHITECTURES AUTO CACHE STRING "devices that PLUMAGE_CUDA=ON compiles for, as CMake writes them: 80-real;90")
set(PLUMAGE_HAS_CUDA OFF)
if(PLUMAGE_CUDA STREQUAL "SIM")
  set(PLUMAGE_HAS_CUDA ON)
  set(plumage_architectures 90)
elseif(PLUMAGE_CUDA STREQUAL "ON")
  set(PLUMAGE_HAS_CUDA ON)
  find_package(CUDAToolkit REQUIRED)
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA_FLAGS_RELEASE "-O3")
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc takes it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set(plumage_architectures ${PLUMAGE_CUDA_ARCHITECTURES})
  if(plumage_architectures STREQUAL "AUTO")
    set(plumage_architectures ${CMAKE_CUDA_ARCHITECTURES_NATIVE})
    if(NOT plumage_architectures MATCHES "^[0-9]")  # no device here
      set(plumage_architectures 80-real 90)
    endif()
  endif()
  message(STATUS "plumage: CUDA ${CUDAToolkit_VERSION} for ${plumage_architectures}")
endif()
message(STATUS "plumage: CUDA ${PLUMAGE_HAS_CUDA} (PLUMAGE_CUDA=${PLUMAGE_CUDA})")

# The race detector watches what is compiled with this: kernels, and the tests that plant faults. Not the simulator's own
# bookkeeping, which all its fibers share, nor the CPU's code, whose OpenMP it does not know.
if(PLUMAGE_SIM_RACES)
  if(PLUMAGE_SANITIZE)
    message(FATAL_ERROR "plumage: PLUMAGE_SIM_RACES and PLUMAGE_SANITIZE exclude each other")
  endif()
  set(plumage_sim_watched -fsanitize=thread -O1 -g1)
  add_link_options(-fsanitize=thread)
endif()

function(plumage_simulated_device)
  set(root ${PROJECT_SOURCE_DIR}/tests/cuda_sim)
  file(GLOB sources CONFIGURE_DEPENDS ${root}/*.cpp)
  add_library(plumage_cuda_sim STATIC ${sources})
  plumage_compile_settings(plumage_cuda_sim)
  target_include_directories(plumage_cuda_sim BEFORE PUBLIC ${root}/include)
  if(PLUMAGE_SIM_RACES)
    target_compile_definitions(plumage_cuda_sim PRIVATE CUDA_SIM_TSAN)
  endif()
endfunction()

# Its own tests: that it does what a device does, and catches what is planted.
function(plumage_simulated_device_tests)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/cuda_sim/tests/*.cpp)
  add_executable(test_cuda_sim ${sources})
  plumage_compile_settings(test_cuda_sim)
  target_compile_definitions(test_cuda_sim PRIVATE PLUMAGE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_compile_options(test_cuda_sim PRIVATE ${plumage_sim_watched})
  target_link_libraries(test_cuda_sim PRIVATE plumage_cuda_sim plumage_test_main)
  add_test(NAME cuda_sim COMMAND test_cuda_sim WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endfunction()

# Warnings of the host's compiler are errors here as elsewhere.
set(plumage_nvcc_flags --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas)
if(PLUMAGE_WERROR)
  list(APPEND plumage_nvcc_flags -Werror=all-warnings)
endif()

function(plumage_cuda_backend target)
  file(GLOB_RECURSE kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tensor/backend/cuda/*.cu)
  target_sources(${target} PRIVATE ${kernels})
  list(JOIN plumage_architectures "," architectures)
  target_compile_definitions(${target} PRIVATE "PLUMAGE_CUDA_ARCHITECTURES=\"${architectures}\"")
  if(PLUMAGE_CUDA STREQUAL "SIM")
    set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++;${plumage_sim_watched}")
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:plumage_cuda_sim>)
  else()
    set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES "${plumage_architectures}")
    set_source_files_properties(${kernels} PROPERTIES COMPILE_OPTIONS "${plumage_nvcc_flags}")
    target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  endif()
endfunction()
