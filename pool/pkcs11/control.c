#include "pool/pkcs11/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

kw_status pool_control_send(int socket, struct kw_span record, int fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } extra;
    memset(&extra, 0, sizeof(extra));
    struct iovec part = {(void *)record.data, record.len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = extra.room;
        message.msg_controllen = sizeof(extra.room);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(int));
    }
    ssize_t n;
    do {
        n = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? KW_E_BUSY : KW_E_IO;
    }
    return (size_t)n == record.len ? KW_OK : KW_E_IO;
}

/** The one descriptor that may come along; any more are closed. */
static int take_fd(struct msghdr *message)
{
    int taken = -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (taken < 0) {
                taken = fd;
            } else {
                close(fd);
            }
        }
    }
    return taken;
}

kw_status pool_control_receive(int socket, uint8_t room[POOL_CONTROL_MAX], struct kw_span *body,
                               int *fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } extra;
    struct iovec part = {room, POOL_CONTROL_MAX};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = extra.room,
                             .msg_controllen = sizeof(extra.room)};
    ssize_t n;
    *fd = -1;
    do {
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? KW_E_NOT_FOUND : KW_E_IO;
    }
    if (n == 0) {
        return KW_E_IO;
    }
    *fd = take_fd(&message);
    struct kw_span rest = kw_span_of(room, (size_t)n);
    if ((message.msg_flags & MSG_TRUNC) != 0 || pool_wire_next(&rest, body) != KW_OK ||
        rest.len != 0) {
        if (*fd >= 0) {
            close(*fd);
            *fd = -1;
        }
        return KW_E_INPUT;
    }
    return KW_OK;
}
