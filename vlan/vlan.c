/* The 802.1Q decisions of vlan.h. */
#include "vlan/vlan.h"

#define VLAN_RESERVED_VID 4095
#define VLAN_DEFAULT_TPID 0x8100
#define VLAN_PRIORITY(tci) ((uint16_t)((tci)&0xf000)) /* PCP and DEI */

enum drop_reason vlan_ingress_any(const struct port_vlan *v, struct vlan_tag tag, vlan_id *ret_vid)
{
	vlan_id vid = tag.tpid ? VLAN_VID(tag.tci) : 0;

	if (unlikely(vid == VLAN_RESERVED_VID))
		return DROP_VLAN_RESERVED;
	if (v->mode == VLAN_ACCESS && unlikely(vid))
		return DROP_VLAN_TAGGED;
	if (!vid) { /* untagged or priority-tagged: the PVID (802.1Q 6.9.1) */
		if (unlikely(!v->pvid))
			return DROP_VLAN_UNTAGGED;
		vid = v->pvid;
	}
	if (v->mode == VLAN_TRUNK && !vlan_set_has(&v->allowed, vid))
		return DROP_VLAN_FILTERED;
	*ret_vid = vid;
	return DROP_NONE;
}

bool vlan_member(const struct port_vlan *v, vlan_id vid)
{
	switch (v->mode) {
	case VLAN_ACCESS:
		return v->pvid == vid;
	case VLAN_TRUNK:
		return vlan_set_has(&v->allowed, vid);
	case VLAN_INTERNAL:
		break;
	}
	return false;
}

struct vlan_tag vlan_egress(const struct port_vlan *v, vlan_id vid, struct vlan_tag came_with)
{
	if (v->mode != VLAN_TRUNK || vid == v->pvid)
		return (struct vlan_tag){0, 0};
	return (struct vlan_tag){
		.tpid = v->tpid ? v->tpid : VLAN_DEFAULT_TPID,
		.tci = (came_with.tpid ? VLAN_PRIORITY(came_with.tci) : 0) | vid,
	};
}
