/* 802.1Q decisions at the port edge: which VLAN a frame is in, how it leaves.
 *
 * Pure functions on values.  Tags exist only here: inside the switch a frame has a
 * VLAN id (and from it a domain) and no outer tag.  The PCP and DEI bits of the tag
 * it came with are carried to the tag it leaves with.
 *
 * access: one VLAN, untagged; a priority tag (VID 0) is taken off, any other tag is
 *         refused (802.1Q 6.9: admit only untagged and priority-tagged).
 * trunk:  tagged with any VLAN of `allowed`; untagged and priority-tagged frames go
 *         to the native VLAN (PVID), if there is one, and leave it untagged.
 * internal: ports inside the switch (gateways), where the domain is already known. */
#ifndef VLAN_VLAN_H
#define VLAN_VLAN_H

#include "net/drop.h"
#include "net/types.h"

#define VLAN_MAX ((vlan_id)4094)
#define VLAN_VID(tci) ((vlan_id)((tci)&0x0fff))

struct vlan_set {
	uint64_t w[64]; /* bit VID */
};
static inline bool vlan_set_has(const struct vlan_set *s, vlan_id v)
{
	return s->w[(v & 0xfff) >> 6] >> (v & 63) & 1;
}
static inline void vlan_set_add(struct vlan_set *s, vlan_id v)
{
	s->w[(v & 0xfff) >> 6] |= UINT64_C(1) << (v & 63);
}

enum vlan_mode { VLAN_ACCESS, VLAN_TRUNK, VLAN_INTERNAL };

struct port_vlan {
	enum vlan_mode mode;
	vlan_id pvid;  /* access VLAN, or native VLAN of a trunk (0 = none) */
	uint16_t tpid; /* of tags on egress; 0 means 0x8100 */
	struct vlan_set allowed; /* trunk: includes the native VLAN */
};

/* The VLAN a frame with this outer tag belongs to, or the reason to drop it. */
enum drop_reason vlan_ingress_any(const struct port_vlan *v, struct vlan_tag tag, vlan_id *ret_vid);
static inline enum drop_reason vlan_ingress(const struct port_vlan *v, struct vlan_tag tag,
					    vlan_id *ret_vid)
{
	if (likely(v->mode == VLAN_ACCESS && !tag.tpid && v->pvid)) {
		*ret_vid = v->pvid;
		return DROP_NONE;
	}
	return vlan_ingress_any(v, tag, ret_vid);
}
/* Whether the port carries the VLAN. */
bool vlan_member(const struct port_vlan *v, vlan_id vid);
/* The tag a frame of VLAN vid leaves with (tpid 0 = untagged), given the one it came with. */
struct vlan_tag vlan_egress(const struct port_vlan *v, vlan_id vid, struct vlan_tag came_with);

#endif
