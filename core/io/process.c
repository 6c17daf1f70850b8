/* SPDX-License-Identifier: MIT */
/* Fork twice: the middle process ends at once and is reaped here, so the daemon becomes
 * init's child and never our zombie. A pipe that closes on exec carries back the errno of
 * whatever failed before it. */
#include "io/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_OTHER_FD = 3 };

static void report_and_exit(int pipe_fd) {
  int failure = errno;
  ssize_t written = write(pipe_fd, &failure, sizeof failure);
  _exit(written == (ssize_t)sizeof failure ? 127 : 126);
}

/* Leaves open 0-2, kept_fd and pipe_fd. */
static void close_other_descriptors(int kept_fd, int pipe_fd) {
  if (kept_fd < FIRST_OTHER_FD) kept_fd = pipe_fd;
  int low = kept_fd < pipe_fd ? kept_fd : pipe_fd;
  int high = kept_fd < pipe_fd ? pipe_fd : kept_fd;
  if (low > FIRST_OTHER_FD) close_range(FIRST_OTHER_FD, (unsigned)low - 1, 0);
  if (high > low + 1) close_range((unsigned)low + 1, (unsigned)high - 1, 0);
  close_range((unsigned)high + 1, ~0U, 0);
}

/* Fills the gaps below FIRST_OTHER_FD, so that no descriptor made later lies there. */
static void fill_standard_descriptors(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd < FIRST_OTHER_FD);
}

static void redirect_standard_streams(const char *log_path, int pipe_fd) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (null < 0 || log < 0) report_and_exit(pipe_fd);
  if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log, 2) < 0)
    report_and_exit(pipe_fd);
}

/* What the host ignores the daemon need not; but a file that grows too large is to be an
 * error of write(2), not a signal that kills. */
static void reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGCHLD, SIG_DFL);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_IGN);
}

static int read_failure(int pipe_fd) {
  int failure = 0;
  ssize_t got;
  do got = read(pipe_fd, &failure, sizeof failure);
  while (got < 0 && errno == EINTR);
  return got == (ssize_t)sizeof failure ? failure : 0;
}

static void run_daemon(char *const argv[], const char *log_path, int kept_fd,
                       int first_pipe_fd) {
  int pipe_fd = fcntl(first_pipe_fd, F_DUPFD_CLOEXEC, FIRST_OTHER_FD);
  if (pipe_fd < 0) report_and_exit(first_pipe_fd);
  fill_standard_descriptors();
  reset_signals();
  redirect_standard_streams(log_path, pipe_fd);
  close_other_descriptors(kept_fd, pipe_fd);
  /* The host's sanitizer or profiler is not the daemon's. */
  unsetenv("LD_PRELOAD");
  execvp(argv[0], argv);
  report_and_exit(pipe_fd);
}

/* The host may have had it reaped already: it ignores SIGCHLD, or waits for any child. */
static int reap(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno == ECHILD) return 0;
    if (errno != EINTR) return errno;
  }
  return 0;
}

int as_process_start_daemon(char *const argv[], const char *log_path, int kept_fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  pid_t middle = fork();
  if (middle < 0) {
    int failure = errno;
    close(ends[0]);
    close(ends[1]);
    return failure;
  }
  if (middle == 0) {
    if (setsid() < 0) report_and_exit(ends[1]);
    pid_t daemon = fork();
    if (daemon < 0) report_and_exit(ends[1]);
    if (daemon == 0) run_daemon(argv, log_path, kept_fd, ends[1]);
    _exit(0);
  }
  close(ends[1]);
  int failure = read_failure(ends[0]);
  close(ends[0]);
  int unreaped = reap(middle);
  return failure != 0 ? failure : unreaped;
}

pid_t as_process_id(void) {
  return getpid();
}

uid_t as_process_user(void) {
  return geteuid();
}

int as_process_kill(pid_t pid) {
  /* 0 and negative numbers would name whole groups. */
  if (pid <= 0) return ESRCH;
  return kill(pid, SIGKILL) == 0 ? 0 : errno;
}

enum { MARK_BYTES = 4096 };

uint32_t *as_process_mark_new(void) {
  void *page =
      mmap(NULL, MARK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return NULL;
  if (madvise(page, MARK_BYTES, MADV_WIPEONFORK) != 0) {
    munmap(page, MARK_BYTES);
    return NULL;
  }
  return page;
}

void as_process_mark_del(uint32_t *mark) {
  if (mark != NULL) munmap(mark, MARK_BYTES);
}

bool as_process_is_first(const char *name) {
  char own[24];
  snprintf(own, sizeof own, "%ld", (long)getpid());
  const char *noted = getenv(name);
  if (noted != NULL && strcmp(noted, own) == 0) return false;
  (void)setenv(name, own, 1);
  return true;
}
