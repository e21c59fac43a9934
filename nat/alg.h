/* Application gateways: protocols that say addresses in their payload, or answer from another port.  Off
 * unless a network's conf says (struct gateway_conf.algs); nothing else of a payload is ever looked at.
 *
 * FTP (RFC 959, RFC 2428), active: of a control connection that a guest opened to port 21, the commands PORT
 * and EPRT.  The address and port become the mapping's outside ones, and the server may connect to it for
 * ALG_EXPECT_S.  Only a guest's own address from port 1024 on is translated: whoever names another's is
 * left to his server, which has no way there (RFC 2577 2).  A command must stand alone and whole in a
 * segment, as clients send it; others are left as they are.  Sequence numbers follow what the text
 * grows by; SACK is not offered on such connections, as its blocks would have to follow too.
 *
 * TFTP (RFC 1350 4): the answer to a request to port 69 comes from another port of the server.
 * A mapping that sent one lets its servers in from any port.
 *
 * Worker 0 only. */
#ifndef NAT_ALG_H
#define NAT_ALG_H

#include "net/types.h"

#define ALG_EXPECT_S 60u
#define ALG_FTP_MAX 512u   /* connections that have named a port, of all networks */
#define ALG_LINE_MAX 80u /* bytes of a command, its end included */

struct nat;
struct session;
struct transit;
struct mapping;
struct gateway;

enum alg_flags { ALG_FTP = 1 << 0, ALG_TFTP = 1 << 1 };

/* What sequence numbers of one control connection are shifted by. */
struct alg_ftp {
	const struct session *s; /* NULL: free */
	bool shifts;             /* it has named a port */
	uint32_t at;             /* where the last command began, as the guest counts */
	uint32_t before, after;  /* the shift up to there, and behind it */
};
struct alg {
	struct alg_ftp ftp[ALG_FTP_MAX];
	uint64_t translated, left; /* commands */
};

struct alg_command {
	be32 addr;
	uint16_t port;
	bool extended; /* EPRT */
};
/* A whole PORT or EPRT command for IPv4, its CR LF included, and nothing behind it. */
bool alg_ftp_parse(const char *line, size_t len, struct alg_command *ret);
size_t alg_ftp_build(const struct alg_command *c, char line[ALG_LINE_MAX]);

/* A session of m that a guest begins: whether it needs one of us (*ret_ftp), or m does. */
void alg_begin(const struct gateway *g, struct mapping *m, be16 rport, const struct transit *t, bool *ret_ftp);
/* A segment of such a session, before it is translated. */
void alg_ftp_cross(struct nat *n, struct session *s, struct transit *t, bool to_outside);
void alg_forget(struct nat *n, const struct session *s);

#endif
