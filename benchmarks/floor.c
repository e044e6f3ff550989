/* The floor under the CPU of a probe: one thread, epoll, OpenSSL, one context, the whole chain as DER; no result is kept.

   cc -O2 -o floor floor.c -lssl -lcrypto
   floor IN_FLIGHT < LIST      a line of LIST is: smtp|imap|pop3|imaps ADDRESS PORT
   Prints how many handshakes were complete, and seconds of CPU, user and system. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MOST = 100000, EVENTS = 256 };

static const char *const WORDS[3][3] = {{"EHLO [127.0.0.1]\r\n", "STARTTLS\r\n", 0}, {"a1 STARTTLS\r\n", 0}, {"STLS\r\n", 0}};

struct server { int protocol; struct sockaddr_in address; };
struct attempt { int line, protocol, said; size_t heard; char reply[4096]; SSL *tls; };

static struct server servers[MOST];
static int count, next, active, complete, poll_fd;
static SSL_CTX *context;

static int take_any(X509_STORE_CTX *chain, void *nothing) {
    return 1;
}

static void begin(void) {
    struct attempt *a = calloc(1, sizeof *a);
    struct server *server = &servers[next++];
    int on = 1;
    a->protocol = server->protocol;
    a->line = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(a->line, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connect(a->line, (struct sockaddr *)&server->address, sizeof server->address);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = a};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, a->line, &event);
    active++;
}

static void end(struct attempt *a, int good) {
    complete += good;
    SSL_free(a->tls);
    close(a->line);
    free(a);
    active--;
    if (next < count) begin();
}

/* 1: TLS may begin, 0: wait, -1: over */
static int talk(struct attempt *a) {
    while (a->protocol < 3) {
        ssize_t got = recv(a->line, a->reply + a->heard, sizeof a->reply - 1 - a->heard, 0);
        if (got <= 0) return got < 0 && (errno == EAGAIN || errno == ENOTCONN) ? 0 : -1;
        a->heard += got;
        a->reply[a->heard] = 0;
        if (a->reply[a->heard - 1] != '\n') continue;
        char *last = a->reply + a->heard - 1;
        while (last > a->reply && last[-1] != '\n') last--;
        if (a->protocol == 0 && last[3] == '-') continue;
        a->heard = 0;
        const char *word = WORDS[a->protocol][a->said++];
        if (!word) return 1;
        send(a->line, word, strlen(word), 0);
    }
    return 1;
}

static void advance(struct attempt *a) {
    if (!a->tls) {
        int state = talk(a);
        if (state < 0) end(a, 0);
        if (state < 1) return;
        a->tls = SSL_new(context);
        SSL_set_fd(a->tls, a->line);
        SSL_set_connect_state(a->tls);
        SSL_set_tlsext_host_name(a->tls, "mail.demo.test");
    }
    int result = SSL_do_handshake(a->tls);
    if (result == 1) {
        STACK_OF(X509) *chain = SSL_get_peer_cert_chain(a->tls);
        for (int i = 0; i < sk_X509_num(chain); i++) {
            unsigned char *der = 0;
            i2d_X509(sk_X509_value(chain, i), &der);
            OPENSSL_free(der);
        }
        end(a, 1);
    } else {
        int error = SSL_get_error(a->tls, result);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
        if (error == SSL_ERROR_SYSCALL && errno == ENOTCONN) return; /* implicit TLS, and not connected yet */
        end(a, 0);
    }
}

int main(int argc, char **argv) {
    char protocol[8], address[64];
    int port, in_flight = argc > 1 ? atoi(argv[1]) : 64;
    while (count < MOST && scanf("%7s %63s %d", protocol, address, &port) == 3) {
        struct server *server = &servers[count++];
        server->protocol = !strcmp(protocol, "smtp") ? 0 : !strcmp(protocol, "imap") ? 1 : !strcmp(protocol, "pop3") ? 2 : 3;
        server->address.sin_family = AF_INET;
        server->address.sin_port = htons(port);
        inet_pton(AF_INET, address, &server->address.sin_addr);
    }
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_cipher_list(context, "ALL:!aNULL:@SECLEVEL=0");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, 0);
    SSL_CTX_set_cert_verify_callback(context, take_any, 0);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    poll_fd = epoll_create1(0);
    while (next < count && next < in_flight) begin();
    while (active) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll_fd, events, EVENTS, 5000);
        if (ready <= 0) break;
        for (int i = 0; i < ready; i++) advance(events[i].data.ptr);
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double whole = used.ru_utime.tv_sec + used.ru_stime.tv_sec;
    printf("%d %.6f\n", complete, whole + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
