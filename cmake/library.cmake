# One static library a folder, one test binary a folder under tests/, one program a file in bench/.

# -Wrestrict: g++ 12 sees overlaps in std::string where there are none.
set(plumage_warnings -Wall -Wextra -Wno-restrict -Wno-missing-field-initializers -Wno-unknown-pragmas)
if(PLUMAGE_WERROR)
  list(APPEND plumage_warnings -Werror)
endif()
# -fno-math-errno and -fno-trapping-math let loops vectorise and change no result.
set(plumage_code_flags -march=${PLUMAGE_MARCH} -fno-math-errno -fno-trapping-math)
# g++ 12.2 with AVX-512 stores the 32-byte constant {1, 1, 0, 0} as {1, 1, 1, 1}: it takes the leading zeros that it has
# cut off for a repetition. Moves of constants in 16-byte pieces, which it can do, keep that code from being reached.
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag("-mmove-max=128 -mstore-max=128" PLUMAGE_HAS_MOVE_MAX)
if(PLUMAGE_HAS_MOVE_MAX)
  list(APPEND plumage_code_flags -mmove-max=128 -mstore-max=128)
endif()
if(PLUMAGE_SANITIZE)
  # g++ 12 warns of overflows and of values without a start where the sanitizers' own code hides the bounds.
  list(APPEND plumage_warnings -Wno-stringop-overflow -Wno-maybe-uninitialized)
  # -O1 -g1: half the time to build, and lines in the report all the same.
  list(APPEND plumage_code_flags -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()

function(plumage_compile_settings target)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/plumage>)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${plumage_warnings};${plumage_code_flags}>")
endfunction()

function(plumage_library folder)
  cmake_parse_arguments(arg "" "" "PUBLIC_DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  if(PLUMAGE_HAS_CUDA)
    list(FILTER sources EXCLUDE REGEX "/backend/absent/")
  else()
    list(FILTER sources EXCLUDE REGEX "/backend/cuda/")
  endif()
  if(NOT sources)
    add_library(plumage_${folder} INTERFACE)  # a folder of headers
    target_link_libraries(plumage_${folder} INTERFACE ${arg_PUBLIC_DEPENDS})
    return()
  endif()
  add_library(plumage_${folder} STATIC ${sources})
  plumage_compile_settings(plumage_${folder})
  target_link_libraries(plumage_${folder} PUBLIC ${arg_PUBLIC_DEPENDS})
  set_target_properties(plumage_${folder} PROPERTIES EXPORT_NAME ${folder})
  add_library(plumage::${folder} ALIAS plumage_${folder})
endfunction()

function(plumage_program name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  if(NOT sources)
    return()
  endif()
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  add_library(plumage_${folder} STATIC ${sources})
  plumage_compile_settings(plumage_${folder})
  target_precompile_headers(plumage_${folder} PRIVATE <CLI/CLI.hpp>)  # most of what a command costs to compile
  target_compile_options(plumage_${folder} PRIVATE $<$<CONFIG:Release>:-O1>)  # a third less of it; nothing here takes time
  target_link_libraries(plumage_${folder} PUBLIC ${ARGN})
  add_executable(${name} ${PROJECT_SOURCE_DIR}/${folder}/main.cpp)
  plumage_compile_settings(${name})
  target_link_libraries(${name} PRIVATE plumage_${folder})
endfunction()

function(plumage_benches)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/*.cpp)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(bench_${name} ${source})
    plumage_compile_settings(bench_${name})
    target_link_libraries(bench_${name} PRIVATE plumage_ssl plumage_eval)
    set_target_properties(bench_${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
  endforeach()
endfunction()

# doctest's own code, compiled once.
function(plumage_test_main)
  add_library(plumage_test_main OBJECT ${PROJECT_SOURCE_DIR}/tests/main.cpp)
  plumage_compile_settings(plumage_test_main)
endfunction()

# tests/FOLDER/*_test.cpp with tests/main.cpp become test_FOLDER, linked with what the folder may see.
function(plumage_test folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${folder}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${folder} ${sources})
  plumage_compile_settings(test_${folder})
  target_compile_definitions(test_${folder} PRIVATE
    PLUMAGE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" PLUMAGE_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(test_${folder} PRIVATE plumage_test_main)
  if(folder STREQUAL "op_cases")
    target_link_libraries(test_${folder} PRIVATE plumage_autograd)
  elseif(folder STREQUAL "cli")
    target_link_libraries(test_${folder} PRIVATE plumage_cli)
    if(TARGET plumage)
      add_dependencies(test_${folder} plumage)
    endif()
  else()
    target_link_libraries(test_${folder} PRIVATE plumage_${folder})
  endif()
  add_test(NAME ${folder} COMMAND test_${folder} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endfunction()
