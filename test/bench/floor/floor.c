// The least that two processes must do so that a POST becomes websocket messages, with no care for anything that can go
// wrong: blocking calls, one read and one write for what has come. It is what the tools of vw are measured against;
// what it costs, no design of two processes can do without.
//
//   floor ingest PORT   takes one POST with chunks on the loopback interface, and writes its body to standard output
//   floor push PORT     sends standard input to a websocket server on the loopback interface, a message for each read
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 256 << 10, PIPE = 1 << 20 };
static unsigned char in[SIZE], out[SIZE + 16];

static void must(int ok, const char *what) {
  if (!ok) {
    perror(what);
    exit(1);
  }
}

static void put(int fd, const void *bytes, size_t n) {
  for (const unsigned char *p = bytes; n > 0;) {
    ssize_t taken = write(fd, p, n);
    must(taken > 0, "write");
    p += taken;
    n -= (size_t)taken;
  }
}

static struct sockaddr_in loopback(const char *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

static void ingest(const char *port) {
  int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = loopback(port);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  must(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 1) == 0, "listen");
  int fd = accept(listener, NULL, NULL);
  must(fd >= 0, "accept");
  fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE);

  enum { HEADER, LENGTH, DATA, BEHIND } state = HEADER;
  size_t left = 0;
  int newlines = 0, over = 0;
  for (ssize_t n; !over && (n = read(fd, in, SIZE)) > 0;) {
    size_t have = 0; // bytes of data, moved to the front
    for (unsigned char *p = in, *end = in + n; p < end && !over;) {
      switch (state) {
      case HEADER:
        newlines = *p == '\n' ? newlines + 1 : *p == '\r' ? newlines : 0;
        if (newlines == 2) state = LENGTH;
        p++;
        break;
      case LENGTH:
        if (*p == '\n') {
          state = DATA;
          over = left == 0;
        } else if (*p != '\r') {
          left = left * 16 + (size_t)(*p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10);
        }
        p++;
        break;
      case DATA: {
        size_t size = (size_t)(end - p) < left ? (size_t)(end - p) : left;
        if (p != in + have) memmove(in + have, p, size);
        have += size;
        p += size;
        left -= size;
        if (left == 0) state = BEHIND;
        break;
      }
      case BEHIND:
        if (*p++ == '\n') state = LENGTH;
        break;
      }
    }
    put(STDOUT_FILENO, in, have);
  }
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  put(fd, answer, sizeof answer - 1);
}

// message makes n bytes of in a masked binary message in out, and returns its length.
static size_t message(size_t n) {
  unsigned char *p = out;
  *p++ = 0x82;
  if (n < 126) {
    *p++ = (unsigned char)(0x80 | n);
  } else {
    int wide = n > 0xffff ? 8 : 2;
    *p++ = wide == 8 ? 0x80 | 127 : 0x80 | 126;
    for (int i = wide - 1; i >= 0; i--) *p++ = (unsigned char)((uint64_t)n >> (8 * i));
  }
  unsigned char key[8];
  must(getrandom(key, 4, 0) == 4, "getrandom");
  memcpy(key + 4, key, 4);
  memcpy(p, key, 4);
  p += 4;
  uint64_t mask, word;
  memcpy(&mask, key, 8);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    memcpy(&word, in + i, 8);
    word ^= mask;
    memcpy(p + i, &word, 8);
  }
  for (; i < n; i++) p[i] = in[i] ^ key[i % 4];
  return (size_t)(p - out) + n;
}

static void push(const char *port) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = loopback(port);
  must(connect(fd, (struct sockaddr *)&a, sizeof a) == 0, "connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  static const char hello[] = "GET /cam HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
  put(fd, hello, sizeof hello - 1);
  must(read(fd, in, SIZE) > 0, "handshake");
  for (ssize_t n; (n = read(STDIN_FILENO, in, SIZE)) > 0;) put(fd, out, message((size_t)n));
  static const unsigned char bye[] = {0x88, 0x82, 0, 0, 0, 0, 1000 >> 8, 1000 & 0xff};
  put(fd, bye, sizeof bye);
  must(read(fd, in, SIZE) >= 0, "close");
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "ingest") == 0) {
    ingest(argv[2]);
  } else if (argc == 3 && strcmp(argv[1], "push") == 0) {
    push(argv[2]);
  } else {
    fputs("usage: floor ingest PORT | floor push PORT\n", stderr);
    return 2;
  }
}
